import { objectKey, type KubernetesObject, type ResourceType } from '@weft/kubernetes';
import { controllerOf } from '../objects.ts';
import type { ClusterView } from '../reconcile.ts';

/** A cluster as a list of objects, for tests of pure reconcilers. */
export function staticView(...entries: readonly (readonly [ResourceType, KubernetesObject])[]): ClusterView {
  const list = <T extends KubernetesObject>(type: ResourceType<T>, namespace?: string): readonly T[] =>
    entries
      .filter(([t]) => t.plural === type.plural && t.group === type.group)
      .map(([, object]) => object as T) // the resource decides the type
      .filter((object) => namespace === undefined || object.metadata.namespace === namespace);
  return {
    list,
    get: (type, name, namespace) =>
      list(type).find(
        (object) => objectKey(object) === (namespace === undefined ? name : `${namespace}/${name}`),
      ),
    controlledBy: (type, uid) => list(type).filter((object) => controllerOf(object)?.uid === uid),
  };
}
