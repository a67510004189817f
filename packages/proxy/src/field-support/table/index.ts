import { MessageStates, type SupportTable } from '../support.ts';
import { accessLog } from './access-log.ts';
import { cluster } from './cluster.ts';
import { core } from './core.ts';
import { discovery } from './discovery.ts';
import { filters } from './filters.ts';
import { httpConnectionManager } from './http-connection-manager.ts';
import { listener } from './listener.ts';
import { route } from './route.ts';
import { tls } from './tls.ts';

/** Every message that the engine acts on. One that isn't here is refused as a whole. */
export const supportTable: SupportTable = {
  ...discovery,
  ...listener,
  ...httpConnectionManager,
  ...route,
  ...cluster,
  ...tls,
  ...filters,
  ...accessLog,
  ...core,
};

const compiled = new Map<string, MessageStates>();

/** What the engine does with a message's fields; undefined for a message that it doesn't act on. */
export function statesOf(typeName: string): MessageStates | undefined {
  let states = compiled.get(typeName);
  const support = supportTable[typeName];
  if (states === undefined && support !== undefined) {
    states = new MessageStates(support);
    compiled.set(typeName, states);
  }
  return states;
}
