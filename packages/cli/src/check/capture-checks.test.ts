import { expect, it } from '@jest/globals';
import type { Pod } from '@weft/kubernetes';
import { checkCapture } from './capture-checks.ts';

const pod = (
  redirection: string | undefined,
  condition?: { status: 'True' | 'False'; reason: string; message: string },
): Pod => ({
  metadata: {
    name: 'a',
    namespace: 'shop',
    annotations: redirection === undefined ? {} : { 'ambient.istio.io/redirection': redirection },
  },
  status: { conditions: condition === undefined ? [] : [{ type: 'weft.dev/Captured', ...condition }] },
});

it.each([
  ['enrolled and audited', pod('enabled', { status: 'True', reason: 'Captured', message: '' }), undefined],
  ['enrolled by an agent without an audit', pod('enabled'), undefined],
  ['pending', pod('pending'), 'shop/a (no ztunnel has taken it yet)'],
  ['never enrolled', pod(undefined), 'shop/a (not enrolled)'],
  [
    'enrolled, but not so any more',
    pod('enabled', { status: 'False', reason: 'RulesDiffer', message: 'the rules are gone' }),
    'shop/a (RulesDiffer: the rules are gone)',
  ],
])('a pod that is %s', (_what, one, fault) => {
  expect(checkCapture([one]).message).toBe(fault === undefined ? undefined : `not captured: ${fault}`);
});
