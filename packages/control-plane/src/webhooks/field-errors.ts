/** One thing wrong with an object, at the path by which its author finds it: `spec.rules[0].from[1].source`. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

export interface Verdict {
  readonly errors: readonly FieldError[];
  /** Shown by kubectl; the object is accepted all the same. */
  readonly warnings: readonly string[];
}

/** Collects errors below a path. */
export class FieldChecks {
  private readonly path: string;
  private readonly errors: FieldError[];

  constructor(path: string, errors: FieldError[]) {
    this.path = path;
    this.errors = errors;
  }

  at(field: string | number): FieldChecks {
    return new FieldChecks(
      typeof field === 'number' ? `${this.path}[${field}]` : `${this.path}.${field}`,
      this.errors,
    );
  }

  refuse(message: string): void {
    this.errors.push({ field: this.path, message });
  }

  /** Refuses every value of a list that the check has something to say about. */
  each(
    field: string,
    values: readonly string[] | undefined,
    check: (value: string) => string | undefined,
  ): void {
    values?.forEach((value, i) => {
      const message = value === '' ? 'must not be empty' : check(value);
      if (message !== undefined) this.at(field).at(i).refuse(message);
    });
  }
}
