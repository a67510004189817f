/** The part of an AbortSignal that a connection needs; every AbortSignal is one. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void, options: { readonly once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * An AbortController and its signal in one. A connection has several, and each of node's costs microseconds and some
 * dozen objects.
 */
export class Cancellation implements CancelSignal {
  aborted = false;
  reason: unknown;
  private readonly listeners: (() => void)[] = [];

  /** Calls the listeners, in their order; one that is removed by another isn't called any more. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    for (let next = this.listeners.shift(); next !== undefined; next = this.listeners.shift()) next();
  }

  /** Never called if it is aborted already. */
  addEventListener(_type: 'abort', listener: () => void): void {
    if (!this.aborted) this.listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.listeners.indexOf(listener);
    if (at >= 0) this.listeners.splice(at, 1);
  }
}
