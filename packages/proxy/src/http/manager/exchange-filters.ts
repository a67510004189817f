import { describeError, type Logger } from '@weft/telemetry';
import type { FilterStatus, HttpFilter, StreamCallbacks, StreamInfo } from '../../engine/types.ts';
import { FILTER_DISABLED } from '../route/filter-configs.ts';
import type { ChosenRoute } from '../route/route.ts';
import type { NamedFilter } from './config.ts';
import { FilterPass, type MessageEvent } from './filter-pass.ts';

/** Where the events of one direction come out, and how its sender is stopped. */
export interface FilterEnd {
  deliver(event: MessageEvent): void;
  hold(): void;
  release(): void;
}

/** The filters of one exchange: the request goes through them in order, the response in reverse. */
export class ExchangeFilters {
  private readonly callbacks: StreamCallbacks;
  private readonly onError: (error: unknown) => void;
  private filters: readonly HttpFilter[] = [];
  request: FilterPass | undefined;
  response: FilterPass | undefined;

  constructor(callbacks: StreamCallbacks, onError: (error: unknown) => void) {
    this.callbacks = callbacks;
    this.onError = onError;
  }

  /** Makes those filters that want to take part. */
  start(configured: readonly NamedFilter[], route: ChosenRoute | undefined, end: FilterEnd): void {
    const { info } = this.callbacks;
    const filters: HttpFilter[] = [];
    for (const { name, filter, disabled } of configured) {
      const own = route?.filterConfig(name);
      if (own === FILTER_DISABLED || (disabled && own === undefined)) continue;
      const created = filter.create(info);
      if (created !== undefined) filters.push(created);
    }
    this.filters = filters;
    this.request = new FilterPass({
      ...end,
      filters,
      invoke: (filter, event) => askRequest(filter, event, this.callbacks),
      onError: this.onError,
    });
  }

  /** A response begins; one that was under way is replaced. */
  startResponse(end: FilterEnd): FilterPass {
    this.response?.close();
    this.response = new FilterPass({
      ...end,
      filters: this.filters.toReversed(),
      invoke: (filter, event) => askResponse(filter, event, this.callbacks),
      onError: this.onError,
    });
    return this.response;
  }

  close(): void {
    this.request?.close();
    this.response?.close();
  }

  /** The exchange is over and its info final. */
  complete(info: StreamInfo, logger: Logger): void {
    const guard = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        logger.error('an HTTP filter failed', { error: describeError(error) });
      }
    };
    for (const filter of this.filters) guard(() => filter.onComplete?.(info));
    for (const filter of this.filters) guard(() => filter.onDestroy?.());
  }
}

function askRequest(filter: HttpFilter, event: MessageEvent, callbacks: StreamCallbacks): FilterStatus {
  switch (event.kind) {
    case 'headers':
      return filter.onRequestHeaders?.(event.headers, event.end, callbacks) ?? 'continue';
    case 'data':
      return filter.onRequestData?.(event.chunk, event.end, callbacks) ?? 'continue';
    case 'trailers':
      return filter.onRequestTrailers?.(event.trailers, callbacks) ?? 'continue';
  }
}

function askResponse(filter: HttpFilter, event: MessageEvent, callbacks: StreamCallbacks): FilterStatus {
  switch (event.kind) {
    case 'headers':
      return filter.onResponseHeaders?.(event.headers, event.end, callbacks) ?? 'continue';
    case 'data':
      return filter.onResponseData?.(event.chunk, event.end, callbacks) ?? 'continue';
    case 'trailers':
      return filter.onResponseTrailers?.(event.trailers, callbacks) ?? 'continue';
  }
}
