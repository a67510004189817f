/** Evaluates with named values: plain JSON, Map, bigint. Throws CelEvaluationError. */
export type CelProgram = (bindings: Readonly<Record<string, unknown>>) => unknown;

/** Compiles a CEL expression (cached). Throws SyntaxError-like CelCompileError on a bad expression. */
export function compileExpression(_text: string): CelProgram {
  throw new Error('not yet');
}
