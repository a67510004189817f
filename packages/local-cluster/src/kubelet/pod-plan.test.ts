import { describe, expect, it } from '@jest/globals';
import { planPod, type ContainerKind, type ContainerPhase, type PlannedContainer } from './pod-plan.ts';

const phases: Readonly<Record<string, ContainerPhase>> = {
  '-': { kind: 'created' },
  r: { kind: 'running', started: true },
  s: { kind: 'running', started: false },
  '0': { kind: 'exited', exitCode: 0 },
  '1': { kind: 'exited', exitCode: 1 },
};

/** `init:0 sidecar:r main:-` */
function containers(text: string): PlannedContainer[] {
  return text.split(' ').map((item, index) => {
    const [kind, phase = '-'] = item.split(':');
    // The table below has no other words.
    return {
      name: `${kind}${index}`,
      kind: kind as ContainerKind,
      phase: phases[phase] ?? { kind: 'created' },
    };
  });
}

describe('planPod', () => {
  const cases: readonly (readonly [
    string,
    string,
    string,
    readonly string[],
    string | undefined,
    boolean,
  ])[] = [
    ['starts the first init container only', 'Always', 'init:- init:- main:-', ['init0'], undefined, false],
    ['waits for a running init container', 'Always', 'init:r init:- main:-', [], undefined, false],
    [
      'starts the second after the first succeeded',
      'Always',
      'init:0 init:- main:-',
      ['init1'],
      undefined,
      false,
    ],
    ['repeats a failed init container', 'OnFailure', 'init:1 main:-', ['init0'], undefined, false],
    [
      'gives up after a failed init container when nothing restarts',
      'Never',
      'init:1 main:-',
      [],
      undefined,
      true,
    ],
    ['waits until a sidecar has started', 'Always', 'sidecar:s init:- main:-', [], undefined, false],
    [
      'goes on once the sidecar has started',
      'Always',
      'sidecar:r init:- main:-',
      ['init1'],
      undefined,
      false,
    ],
    [
      'starts all main containers together',
      'Always',
      'init:0 main:- main:-',
      ['main1', 'main2'],
      undefined,
      false,
    ],
    ['restarts a sidecar that ended', 'Never', 'sidecar:1 main:r', ['sidecar0'], undefined, false],
    ['restarts a main container that succeeded', 'Always', 'main:0 main:r', ['main0'], undefined, false],
    ['restarts only failures when told so', 'OnFailure', 'main:0 main:1', ['main1'], undefined, false],
    ['restarts nothing when told so', 'Never', 'main:1 main:r', [], undefined, false],
    ['stops the last sidecar first', 'Never', 'sidecar:r sidecar:r main:0', [], 'sidecar1', false],
    ['then the one before', 'Never', 'sidecar:r sidecar:0 main:0', [], 'sidecar0', false],
    ['finishes when all have ended', 'Never', 'sidecar:0 main:0 main:1', [], undefined, true],
    [
      'does not run init containers again once a main one has run',
      'Always',
      'init:1 main:1',
      ['main1'],
      undefined,
      false,
    ],
  ];
  it.each(cases)('%s', (_name, policy, text, start, stop, finished) => {
    expect(planPod(policy, containers(text))).toEqual({ start, stop, finished });
  });
});
