import { forbidden } from '../api-error.ts';
import { ensureObject, numberAt, stringAt } from '../object.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';

const PRIORITY_CLASSES = 'priorityclasses.scheduling.k8s.io';

/** Resolves `priorityClassName` of pods to a number. */
export class PriorityAdmission implements AdmissionPlugin {
  private readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  mutate({ operation, resource, subresource, object: pod }: AdmissionRequest): void {
    if (
      operation !== 'CREATE' ||
      resource.collection !== 'pods' ||
      subresource !== undefined ||
      pod === undefined
    )
      return;
    const spec = ensureObject(pod, 'spec'); // one without is refused by validation, which comes later
    const name = stringAt(spec, 'priorityClassName') ?? '';
    const classes = this.store.list(PRIORITY_CLASSES);
    const found =
      name === ''
        ? classes.find((c) => c['globalDefault'] === true)
        : classes.find((c) => c.metadata.name === name);
    if (name !== '' && found === undefined) {
      throw forbidden(resource, pod.metadata.name, `no PriorityClass with name ${name} was found`);
    }
    if (found !== undefined) spec['priorityClassName'] = found.metadata.name;
    spec['priority'] = numberAt(found, 'value') ?? 0;
    spec['preemptionPolicy'] ??= stringAt(found, 'preemptionPolicy') ?? 'PreemptLowerPriority';
  }
}
