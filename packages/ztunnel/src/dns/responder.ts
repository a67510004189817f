import { describeError, WeftError, type Clock, type Logger } from '@weft/telemetry';
import { decideAnswer, type AnswerContext } from './decide-answer.ts';
import type { DnsMetrics } from './dns-metrics.ts';
import type { Forwarder } from './forwarder.ts';
import { readRequest, type Question } from './message-reader.ts';
import { maxUdpBytes, writeAnswer, writeError } from './message-writer.ts';
import { DnsType, ResponseCode, typeName } from './protocol.ts';
import type { DnsTransport } from './response-cache.ts';
import type { Workload } from '../state/workload.ts';

/** Of one pod: so that no pod's questions can keep the others' waiting. */
export const MAX_PENDING_QUERIES = 256;
/** Of one pod. More are dropped before they cost anything. */
export const MAX_QUERIES_PER_SECOND = 5_000;
const MAX_TCP_RESPONSE_BYTES = 65_535;

export interface ResponderOptions extends AnswerContext {
  /** The pod's own workload. @throws WEFT1310 */
  readonly client: () => Promise<Workload>;
  readonly forwarder: Forwarder;
  readonly metrics: DnsMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly onError: (error: WeftError) => void;
}

/** Answers one pod's queries: names of the mesh from what is known, everything else by asking upstream. */
export class DnsResponder {
  private readonly options: ResponderOptions;
  private pending = 0;
  private allowance = MAX_QUERIES_PER_SECOND;
  private allowanceAt: number;

  constructor(options: ResponderOptions) {
    this.options = options;
    this.allowanceAt = options.clock.now();
  }

  /** The response; undefined where silence is the answer. Never rejects. */
  async respond(request: Buffer, transport: DnsTransport): Promise<Buffer | undefined> {
    const parsed = readRequest(request);
    if (parsed.kind === 'runt' || !this.isAllowed()) return undefined;
    if (parsed.kind === 'malformed') return writeError(request, ResponseCode.formatError);
    const question = parsed.kind === 'question' ? parsed.question : undefined;
    const type = parsed.kind === 'question' ? parsed.question.type : parsed.type;
    this.pending++;
    try {
      if (this.pending > MAX_PENDING_QUERIES)
        throw new WeftError('WEFT1351', `${MAX_PENDING_QUERIES} queries of the pod are pending`);
      const client = await this.options.client();
      const labels = this.options.metrics.request(client, type, transport);
      const local = question && this.answerLocally(question, client, transport);
      if (local !== undefined) return local;
      const response = await this.options.forwarder.forward(request, transport, (seconds, failed) =>
        this.options.metrics.upstream(labels, seconds, failed),
      );
      this.log(client, question, type, 'forwarded');
      return response;
    } catch (error) {
      const failure = WeftError.is(error) ? error : new WeftError('WEFT1350', 'internal', { cause: error });
      this.options.onError(failure);
      this.options.logger.debug('query failed', {
        query: typeName(type),
        domain: question?.name,
        error: describeError(failure),
      });
      return writeError(request, ResponseCode.serverFailure, question);
    } finally {
      this.pending--;
    }
  }

  private answerLocally(question: Question, client: Workload, transport: DnsTransport): Buffer | undefined {
    const { name, type } = question;
    if (type !== DnsType.A && type !== DnsType.AAAA) return undefined;
    const answer = decideAnswer({ name, family: type === DnsType.A ? 4 : 6, client }, this.options);
    if (answer === undefined) return undefined;
    this.log(client, question, type, 'success', answer.addresses.length);
    const maxBytes = transport === 'tcp' ? MAX_TCP_RESPONSE_BYTES : maxUdpBytes(question.edns);
    return writeAnswer(question, answer, maxBytes);
  }

  /** A bucket of one second's queries. */
  private isAllowed(): boolean {
    const now = this.options.clock.now();
    const refill = ((now - this.allowanceAt) * MAX_QUERIES_PER_SECOND) / 1000;
    this.allowance = Math.min(MAX_QUERIES_PER_SECOND, this.allowance + Math.max(0, refill));
    this.allowanceAt = now;
    if (this.allowance < 1) return false;
    this.allowance--;
    return true;
  }

  private log(
    { name, namespace }: Workload,
    question: Question | undefined,
    type: number | undefined,
    result: string,
    endpoints = 0,
  ): void {
    this.options.logger.debug('query', {
      'src.workload': name,
      'src.namespace': namespace,
      query: typeName(type),
      domain: question?.name,
      result,
      endpoints,
    });
  }
}
