import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/discovery';
import fc from 'fast-check';
import {
  DeltaDiscoveryRequest,
  readDeltaResponse,
  readResource,
  writeDeltaResponse,
  writeFirstRequest,
  writeResource,
} from './delta-message.ts';
import { TimeSlice } from './time-slice.ts';

const { DeltaDiscoveryResponse } = envoy.service.discovery.v3;
const resource = fc.record({
  name: fc.string({ unit: 'grapheme' }),
  version: fc.string(),
  bytes: fc.uint8Array({ maxLength: 50 }),
  aliases: fc.array(fc.string(), { maxLength: 2 }),
});
const response = fc.record({
  typeUrl: fc.string(),
  nonce: fc.string(),
  systemVersion: fc.string(),
  resources: fc.array(resource),
  removed: fc.array(fc.string()),
});

describe('a delta response', () => {
  it('is written so that the generated decoder reads the same', () => {
    fc.assert(
      fc.property(response, (r) => {
        const encoded = writeDeltaResponse(
          r,
          r.resources.map((x) => writeResource(r.typeUrl, x, true)),
        );
        const decoded = DeltaDiscoveryResponse.decode(encoded);
        expect([decoded.typeUrl, decoded.nonce, decoded.systemVersionInfo]).toEqual([
          r.typeUrl,
          r.nonce,
          r.systemVersion,
        ]);
        expect(decoded.removedResources).toEqual(r.removed);
        expect(
          decoded.resources.map((x) => ({
            name: x.name,
            version: x.version,
            bytes: Uint8Array.from(x.resource?.value ?? []),
            aliases: x.aliases,
          })),
        ).toEqual(r.resources);
      }),
    );
  });

  it('is framed as the generated decoder reads it, whatever fields it has', () => {
    fc.assert(
      fc.property(response, (r) => {
        const encoded = DeltaDiscoveryResponse.encode({
          typeUrl: r.typeUrl,
          nonce: r.nonce,
          removedResources: r.removed,
          controlPlane: { identifier: 'x' },
          resources: r.resources.map((x) => ({ ...x, resource: { type_url: r.typeUrl, value: x.bytes } })),
        }).finish();
        const frame = readDeltaResponse(encoded);
        expect([frame.typeUrl, frame.nonce, frame.removed]).toEqual([r.typeUrl, r.nonce, r.removed]);
        expect([...frame.resources].map((x) => readResource(x).name)).toEqual(r.resources.map((x) => x.name));
      }),
    );
  });

  it('that is garbage fails with WEFT1503 or reads as something, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          readDeltaResponse(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'WEFT1503' });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the first request of a type', () => {
  it('is read by the generated decoder with every known version, in however many slices it was written', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 20, noNullPrototype: true }),
        fc.constantFrom(0, 1, 600),
        async (versions, more) => {
          const known = [
            ...Object.entries(versions),
            ...Array.from({ length: more }, (_, i) => [`uid ${i}`, 'v'] as const),
          ];
          const bytes = await writeFirstRequest({ typeUrl: 'type' }, known, new TimeSlice(0));
          const { typeUrl, initialResourceVersions } = DeltaDiscoveryRequest.decode(bytes);
          expect(typeUrl).toBe('type');
          expect(new Map(Object.entries(initialResourceVersions))).toEqual(new Map(known));
        },
      ),
    );
  });
});
