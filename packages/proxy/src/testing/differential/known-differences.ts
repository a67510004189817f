export interface KnownDifference {
  readonly cases: RegExp;
  readonly reason: string;
  /** It depends on timing, or the names say too little to tell. */
  readonly sometimes?: true;
}

/**
 * Where the engine answers otherwise than Envoy, by the name of the case: on purpose, because it is stricter, or as the
 * RFC says, or the same by the RFC.
 */
const known: readonly KnownDifference[] = [
  { cases: /raw two hosts$/, reason: 'RFC 9112 §3.2: two Host lines are a 400; Envoy joins them' },
  { cases: /raw chunks "2 \\r/, reason: 'white space behind a chunk size is no chunk size; Envoy takes it' },
  { cases: /raw chunks "2\\r\\nokay/, reason: 'a chunk longer than its size is a 400 before Envoy notices' },
  {
    cases: /raw line "(GET {2}\/x HTTP\/1.1|GET \/x {2}HTTP\/1.1|GET \/x HTTP\/1.1 |GET\\t\/x\\tHTTP\/1.1)"$/,
    reason: 'one space parts a request line; Envoy is lenient',
  },
  {
    cases: /raw line "GET http:\/\/u:p@/,
    reason: 'RFC 9110 §4.2.4: userinfo is an error; Envoy routes by it',
  },
  {
    cases: /raw line "GET http:\/\/exact.test\?q /,
    reason: 'an absolute target without a path means /; Envoy takes the query for a part of the host',
  },
  { cases: /raw line "PRI /, reason: 'half a preface of HTTP/2 is a 400; Envoy closes without a word' },
  { cases: /raw header "X-A: 1\\r\\n\\tfolded"/, reason: 'folds are joined by a space; Envoy keeps a tab' },
  { cases: / M-SEARCH /, reason: 'a registered method; Envoy refuses it' },
  {
    cases: /connection: host, x-case/,
    reason: 'Host is never taken for hop-by-hop; Envoy takes it away, then misses it',
  },
  {
    cases: /"connection: close, x-hop|connection: close, x-hop/,
    reason: 'RFC 9110 §7.6.1: what `connection` names goes, also from responses',
  },
  {
    cases: /103 Early Hints/,
    reason: 'RFC 9110 §15.2: interim responses are passed on; Envoy does so by proxy_100_continue only',
  },
  {
    cases: /101 Switching Protocols/,
    reason: 'an upgrade that nobody asked for is a protocol error; Envoy passes it on',
  },
  { cases: /upgrade: websocket|upgrade that is refused/, reason: 'a refusal keeps no keep-alive header' },
  {
    cases: /204 No Content|"status":204,"headers":\[\["content-length"/,
    reason: 'content-length of a 204 is dropped (RFC 9110 §8.6: the sender must not); Envoy answers 502',
  },
  {
    cases:
      /^(?:plain|literal) .*x-forwarded-for: 1.2.3.4, x-forwarded-for: 10.0.0.1|accept: \*\/\*, accept: text\/html/,
    reason:
      'repeated lines stay lines; Envoy joins those of the names that it knows: the same by RFC 9110 §5.3',
  },
  {
    cases: /"raw":"HTTP\/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\nnot hex/,
    sometimes: true,
    reason: 'what came in one piece with the error may not get out before the reset',
  },
  {
    cases: /^(?:behind|edge|allow) .* \/(?:\/|\.|\\|%2e|%2f|%5c)*(?:[? ]|$)/i,
    sometimes: true,
    reason: 'Envoy leaves a path that is nothing but slashes unmerged',
  },
];

export function knownDifference(name: string): KnownDifference | undefined {
  return known.find(({ cases }) => cases.test(name));
}
