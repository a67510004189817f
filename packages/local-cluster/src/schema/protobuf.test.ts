import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeProtobuf, ProtobufError } from './protobuf.ts';
import { TypeRegistry } from './registry.ts';

const registry = TypeRegistry.load();

/** A message as its fields: text, nested messages, and numbers as varints. */
type Field = readonly [number, string | number | boolean | readonly Field[]];

function encode(fields: readonly Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of fields) {
    if (typeof value === 'string') writer.tag(number, 2).string(value);
    else if (typeof value === 'number') writer.tag(number, 0).int64(value);
    else if (typeof value === 'boolean') writer.tag(number, 0).bool(value);
    else writer.tag(number, 2).bytes(encode(value));
  }
  return writer.finish();
}

function envelope(apiVersion: string, kind: string, object: readonly Field[]): Buffer {
  const unknown = new BinaryWriter()
    .tag(1, 2)
    .bytes(
      encode([
        [1, apiVersion],
        [2, kind],
      ]),
    )
    .tag(2, 2)
    .bytes(encode(object))
    .finish();
  return Buffer.concat([Buffer.from('k8s\0', 'latin1'), unknown]);
}

describe('decodeProtobuf', () => {
  it('reads maps, bytes and metadata of a Secret', () => {
    const body = envelope('v1', 'Secret', [
      [
        1,
        [
          [1, 's'],
          [
            11,
            [
              [1, 'app'],
              [2, 'a'],
            ],
          ],
          [8, [[1, 1_700_000_000]]],
          [17, []],
        ],
      ],
      [
        2,
        [
          [1, 'key'],
          [2, 'value'],
        ],
      ],
      [3, 'Opaque'],
    ]);
    expect(decodeProtobuf(registry, body).object).toEqual({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: 's',
        labels: { app: 'a' },
        creationTimestamp: '2023-11-14T22:13:20Z',
        managedFields: [{}],
      },
      data: { key: Buffer.from('value').toString('base64') },
      type: 'Opaque',
    });
  });

  it('unfolds the structs that JSON inlines', () => {
    const volume: Field = [
      1,
      [
        [1, 'v'],
        [2, [[19, [[1, [[1, 'settings']]]]]]],
      ],
    ];
    const probe: Field = [
      11,
      [
        [
          1,
          [
            [
              2,
              [
                [1, '/healthz'],
                [
                  2,
                  [
                    [1, 0],
                    [2, 8080],
                  ],
                ],
              ],
            ],
          ],
        ],
      ],
    ];
    const body = envelope('v1', 'Pod', [[2, [volume, [2, [[1, 'c'], probe]]]]]);
    expect(decodeProtobuf(registry, body).object['spec']).toEqual({
      volumes: [{ name: 'v', configMap: { name: 'settings' } }],
      containers: [{ name: 'c', readinessProbe: { httpGet: { path: '/healthz', port: 8080 } } }],
    });
  });

  it('keeps empty messages that mean something and drops those that Go always writes', () => {
    const volume: Field = [
      1,
      [
        [1, 'v'],
        [2, [[2, []]]],
      ],
    ];
    const body = envelope('v1', 'Pod', [
      [1, []],
      [
        2,
        [
          volume,
          [
            2,
            [
              [1, 'c'],
              [2, ''],
              [8, []],
            ],
          ],
        ],
      ],
      [3, []],
    ]);
    expect(decodeProtobuf(registry, body).object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      spec: { volumes: [{ name: 'v', emptyDir: {} }], containers: [{ name: 'c' }] },
    });
  });

  it('writes MicroTime with six digits and reads string ports', () => {
    const lease = envelope('coordination.k8s.io/v1', 'Lease', [
      [
        2,
        [
          [
            4,
            [
              [1, 1_700_000_000],
              [2, 6_000],
            ],
          ],
        ],
      ],
    ]);
    expect(decodeProtobuf(registry, lease).object['spec']).toEqual({
      renewTime: '2023-11-14T22:13:20.000006Z',
    });
    const service = envelope('v1', 'Service', [
      [
        2,
        [
          [
            1,
            [
              [3, 80],
              [
                4,
                [
                  [1, 1],
                  [3, 'http'],
                ],
              ],
            ],
          ],
        ],
      ],
    ]);
    expect(decodeProtobuf(registry, service).object['spec']).toEqual({
      ports: [{ port: 80, targetPort: 'http' }],
    });
  });

  it('reads the lists in the extra fields of a user', () => {
    const body = envelope('authorization.k8s.io/v1', 'SubjectAccessReview', [
      [
        2,
        [
          [
            5,
            [
              [1, 'scopes'],
              [
                2,
                [
                  [1, 'a'],
                  [1, 'b'],
                ],
              ],
            ],
          ],
        ],
      ],
    ]);
    expect(decodeProtobuf(registry, body).object['spec']).toEqual({ extra: { scopes: ['a', 'b'] } });
  });

  it.each([
    ['another envelope', Buffer.from('{}')],
    ['an unknown kind', envelope('v1', 'Nothing', [])],
    ['a truncated body', envelope('v1', 'Pod', [[1, [[1, 'name']]]]).subarray(0, 20)],
  ])('refuses %s', (_what, body) => {
    expect(() => decodeProtobuf(registry, body)).toThrow(expect.objectContaining({ name: 'ProtobufError' }));
  });

  it('answers arbitrary bytes with an object or a ProtobufError', () => {
    const known = envelope('apps/v1', 'Deployment', []).subarray(0, -2);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const raw = new BinaryWriter().tag(2, 2).bytes(bytes).finish();
        try {
          decodeProtobuf(registry, Buffer.concat([known, raw]));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtobufError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
