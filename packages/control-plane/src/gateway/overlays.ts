import { parseYaml } from '../yaml-text.ts';
import { nearest } from '../webhooks/nearest.ts';
import type { JsonObject } from './strategic-merge.ts';

/** What a user changes in the objects that a Gateway becomes, by the keys of the ConfigMap that says so; in the order of making. */
export const overlayKeys = [
  'serviceAccount',
  'service',
  'deployment',
  'horizontalPodAutoscaler',
  'podDisruptionBudget',
] as const;
export type OverlayKey = (typeof overlayKeys)[number];
export type Overlay = Readonly<Partial<Record<OverlayKey, JsonObject>>>;

export type ParsedOverlay =
  | { readonly kind: 'valid'; readonly overlay: Overlay }
  | { readonly kind: 'invalid'; readonly message: string };

/** @param name of the ConfigMap, for messages */
export function parseOverlay(name: string, data: Readonly<Record<string, string>>): ParsedOverlay {
  const overlay: Partial<Record<OverlayKey, JsonObject>> = {};
  const invalid = (message: string): ParsedOverlay => ({
    kind: 'invalid',
    message: `ConfigMap ${name}: ${message}`,
  });
  for (const [key, text] of Object.entries(data)) {
    if (!isOverlayKey(key)) {
      const meant = nearest(key, overlayKeys);
      const hint = meant === undefined ? `known are ${overlayKeys.join(', ')}` : `did you mean ${meant}?`;
      return invalid(`nothing reads the key ${key}; ${hint}`);
    }
    let value: unknown;
    try {
      value = parseYaml(text);
    } catch (error) {
      const [why = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
      return invalid(`${key} is not YAML: ${why}`);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return invalid(`${key} is not an object`);
    overlay[key] = value as JsonObject; // YAML of an object, in the JSON schema
  }
  return { kind: 'valid', overlay };
}

function isOverlayKey(key: string): key is OverlayKey {
  return overlayKeys.some((known) => known === key);
}
