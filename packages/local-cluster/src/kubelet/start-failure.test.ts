import { expect, it } from '@jest/globals';
import { WeftError } from '@weft/telemetry';
import { startFailure } from './start-failure.ts';

const backoff = { initialMs: 10_000, maxMs: 300_000 };

it.each([
  ['an image without a command', new WeftError('WEFT2062', 'x'), 0, 'ErrImagePull', 'Failed', 10_000],
  ['the same again', new WeftError('WEFT2062', 'x'), 1, 'ImagePullBackOff', 'BackOff', 20_000],
  [
    'a broken image table for the tenth time',
    new WeftError('WEFT2061', 'x'),
    9,
    'ImagePullBackOff',
    'BackOff',
    300_000,
  ],
  [
    'a container that is set up wrongly',
    new WeftError('WEFT2064', 'x'),
    0,
    'CreateContainerConfigError',
    'Failed',
    2_000,
  ],
  [
    'a volume that stays away',
    new WeftError('WEFT2065', 'x'),
    9,
    'CreateContainerConfigError',
    'Failed',
    2_000,
  ],
  ['anything else', new Error('x'), 2, 'RunContainerError', 'Failed', 40_000],
])(
  'names %s as Kubernetes does, and says when to try again',
  (_case, error, before, reason, event, delayMs) => {
    expect(startFailure(error, before, backoff)).toMatchObject({ reason, event, delayMs });
  },
);
