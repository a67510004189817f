import Long from 'long';
import type { google } from '@weft/api/envoy';

type Any = google.protobuf.Any.$Properties;
type Duration = google.protobuf.Duration.$Properties;

/** A generated message class. */
interface MessageType<T> {
  encode(message: T): { finish(): Uint8Array };
  getTypeUrl(): string;
}

export function any<T>(type: MessageType<T>, message: NoInfer<T>): Any {
  return { type_url: type.getTypeUrl(), value: type.encode(message).finish() };
}

/** The form in which Envoy's extensions are named, in listeners, clusters and routes alike. */
export function extension<T>(
  name: string,
  type: MessageType<T>,
  message: NoInfer<T>,
): { name: string; typedConfig: Any } {
  return { name, typedConfig: any(type, message) };
}

export function duration(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return { seconds: Long.fromNumber(seconds), nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

export const NO_LIMIT: Duration = { seconds: Long.ZERO };
