/** A patch that can't be applied. `status` is the HTTP status to answer with: 400, or 422 if it only doesn't fit. */
export class PatchError extends Error {
  readonly status: 400 | 422;

  constructor(message: string, status: 400 | 422) {
    super(message);
    this.name = 'PatchError';
    this.status = status;
  }
}
