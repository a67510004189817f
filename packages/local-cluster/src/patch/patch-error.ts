/** A patch that can't be applied. `status` is the HTTP status to answer with: 400, 413 if it is too long, 422 if it doesn't fit the object. */
export class PatchError extends Error {
  readonly status: 400 | 413 | 422;

  constructor(message: string, status: 400 | 413 | 422) {
    super(message);
    this.name = 'PatchError';
    this.status = status;
  }
}
