import { Lexer, parse } from 'yaml';

/** Far more than any configuration has, and far less than what the parser, which calls itself, has stack for. */
const MAX_YAML_DEPTH = 100;
const MAX_INDENTATION = 400;

/**
 * YAML that somebody wrote who may be out to harm. How deep it is, is seen before it is parsed: to run out of stack
 * there can end the process, which no `catch` prevents.
 *
 * @throws where it isn't YAML, or too deep
 */
export function parseYaml(text: string): unknown {
  checkDepth(text);
  return parse(text);
}

function checkDepth(text: string): void {
  let inBrackets = 0;
  let onLine = 0;
  let isScalar = false;
  for (const token of new Lexer().lex(text)) {
    if (isScalar) {
      isScalar = false;
      continue;
    }
    switch (token) {
      case SCALAR:
        isScalar = true;
        break;
      case '[':
      case '{':
        inBrackets++;
        break;
      case ']':
      case '}':
        inBrackets--;
        break;
      // A list in a list, a key that is a mapping.
      case '-':
      case '?':
        onLine++;
        break;
      default:
        if (token.startsWith('\n') || token.startsWith('\r')) onLine = 0;
        else if (token.length > MAX_INDENTATION && token.trim() === '') throw tooDeep();
    }
    if (inBrackets + onLine > MAX_YAML_DEPTH) throw tooDeep();
  }
}

/** What the lexer puts before the text of a scalar. */
const SCALAR = '\u001f';

function tooDeep(): Error {
  return new Error(`nested more than ${MAX_YAML_DEPTH} levels deep`);
}
