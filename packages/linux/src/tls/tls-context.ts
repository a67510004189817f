import { ForeignBuffer } from '../reactor/foreign.ts';
import { alpnSelector, type OpenSsl, openSsl, takeOpenSslError } from './openssl.ts';

export interface TlsContextOptions {
  readonly keyPem: string;
  /** The leaf first. */
  readonly chainPem: string;
  readonly rootsPem: string;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Of TLS 1.3. */
  readonly suites: string;
  /** Of TLS 1.2. */
  readonly ciphers: string;
  readonly groups: string;
  /** The only protocol offered and taken by ALPN. */
  readonly protocol: string;
}

const SSL_CTRL_MODE = 33;
const SSL_CTRL_SET_READ_AHEAD = 41;
const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
const SSL_CTRL_CHAIN_CERT = 89;
const SSL_CTRL_SET_GROUPS_LIST = 92;
const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
const SSL_CTRL_SET_MAX_PROTO_VERSION = 124;

const ACCEPT_MOVING_WRITE_BUFFER = 0x2;
const AUTO_RETRY = 0x4;
const RELEASE_BUFFERS = 0x10;

/** A peer that closes without close_notify ends HTTP/2, which tells its ends itself. node:tls does the same. */
const OP_IGNORE_UNEXPECTED_EOF = 1 << 7;
const OP_NO_TICKET = 1 << 14;
const OP_NO_RENEGOTIATION = 1 << 30;

const VERIFY_PEER = 1;
const VERIFY_FAIL_IF_NO_PEER_CERT = 2;

const READ_AHEAD_BYTES = 64 * 1024;
const versions = { 'TLSv1.2': 0x303, 'TLSv1.3': 0x304 } as const;

/**
 * One certificate's parameters for both roles: it verifies peers by the roots, offers no resumption, and shares nothing
 * with contexts of node:tls. Its memory is OpenSSL's, so it has to be closed; sessions in use keep it alive.
 */
export class TlsContext {
  readonly pointer: number;
  private readonly ssl: OpenSsl;
  private readonly protocols: ForeignBuffer;
  private isClosed = false;

  /** @throws Error with OpenSSL's words for a key or a certificate that it doesn't take */
  constructor(options: TlsContextOptions) {
    const ssl = openSsl();
    this.ssl = ssl;
    ssl.ERR_clear_error();
    this.pointer = ssl.SSL_CTX_new(ssl.TLS_method());
    const name = Buffer.from(options.protocol, 'latin1');
    this.protocols = new ForeignBuffer(1 + name.length);
    this.protocols.bytes.writeUInt8(name.length, 0);
    name.copy(this.protocols.bytes, 1);
    try {
      this.configure(options);
      this.loadCertificates(options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.ssl.SSL_CTX_free(this.pointer);
  }

  private configure({ minVersion, suites, ciphers, groups }: TlsContextOptions): void {
    const { ssl, pointer, protocols } = this;
    const control = (command: number, value: number): number => ssl.SSL_CTX_ctrl(pointer, command, value, 0);
    control(SSL_CTRL_SET_MIN_PROTO_VERSION, versions[minVersion]);
    control(SSL_CTRL_SET_MAX_PROTO_VERSION, versions['TLSv1.3']);
    control(SSL_CTRL_MODE, ACCEPT_MOVING_WRITE_BUFFER | AUTO_RETRY | RELEASE_BUFFERS);
    control(SSL_CTRL_SET_READ_AHEAD, 1);
    control(SSL_CTRL_SET_SESS_CACHE_MODE, 0);
    ssl.SSL_CTX_set_default_read_buffer_len(pointer, READ_AHEAD_BYTES);
    ssl.SSL_CTX_set_options(pointer, OP_IGNORE_UNEXPECTED_EOF | OP_NO_TICKET | OP_NO_RENEGOTIATION);
    ssl.SSL_CTX_set_num_tickets(pointer, 0);
    this.must(ssl.SSL_CTX_set_ciphersuites(pointer, suites), 'cipher suites');
    this.must(ssl.SSL_CTX_set_cipher_list(pointer, ciphers), 'ciphers');
    const list = cString(groups);
    this.must(ssl.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_GROUPS_LIST, 0, list.address), 'groups');
    ssl.SSL_CTX_set_verify(pointer, VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, 0);
    ssl.SSL_CTX_set_alpn_protos(pointer, protocols.address, protocols.bytes.length);
    ssl.SSL_CTX_set_alpn_select_cb(pointer, selectorOf(ssl, protocols) as never, 0); // a pointer of koffi's
  }

  private loadCertificates({ keyPem, chainPem, rootsPem }: TlsContextOptions): void {
    const { ssl, pointer } = this;
    for (const [index, certificate] of this.certificatesOf(chainPem).entries()) {
      const taken =
        index === 0
          ? ssl.SSL_CTX_use_certificate(pointer, certificate)
          : ssl.SSL_CTX_ctrl(pointer, SSL_CTRL_CHAIN_CERT, 1, certificate);
      ssl.X509_free(certificate);
      this.must(taken, 'certificate');
    }
    const key = this.readPem(keyPem, (bio) => ssl.PEM_read_bio_PrivateKey(bio, 0, 0, 0));
    this.must(key, 'private key');
    const used = ssl.SSL_CTX_use_PrivateKey(pointer, key);
    ssl.EVP_PKEY_free(key);
    this.must(used, 'private key');
    this.must(ssl.SSL_CTX_check_private_key(pointer), 'private key');
    const store = ssl.SSL_CTX_get_cert_store(pointer);
    for (const root of this.certificatesOf(rootsPem)) {
      const taken = ssl.X509_STORE_add_cert(store, root) && ssl.SSL_CTX_add_client_CA(pointer, root);
      ssl.X509_free(root);
      this.must(taken, 'root certificate');
    }
  }

  /** The caller frees them. */
  private certificatesOf(pem: string): number[] {
    return this.readPem(pem, (bio) => {
      const found: number[] = [];
      for (;;) {
        const certificate = this.ssl.PEM_read_bio_X509(bio, 0, 0, 0);
        if (certificate === 0) break;
        found.push(certificate);
      }
      this.ssl.ERR_clear_error(); // "no start line", at the end of the text
      return found;
    });
  }

  private readPem<T>(pem: string, read: (bio: number) => T): T {
    const text = cString(pem);
    const bio = this.ssl.BIO_new_mem_buf(text.address, text.bytes.length - 1);
    try {
      return read(bio);
    } finally {
      this.ssl.BIO_free(bio);
    }
  }

  private must(result: number, what: string): void {
    if (result === 0) throw new Error(`${what}: ${takeOpenSslError(this.ssl) ?? 'refused'}`);
  }
}

/** One a protocol and thread: registered callbacks are a scarce thing. */
const selectors = new Map<string, unknown>();

function selectorOf(ssl: OpenSsl, protocols: ForeignBuffer): unknown {
  const key = protocols.bytes.toString('latin1');
  let selector = selectors.get(key);
  if (selector === undefined) {
    selector = alpnSelector(ssl, protocols);
    selectors.set(key, selector);
  }
  return selector;
}

function cString(text: string): ForeignBuffer {
  const length = Buffer.byteLength(text);
  const buffer = new ForeignBuffer(length + 1);
  buffer.bytes.write(text);
  buffer.bytes.writeUInt8(0, length);
  return buffer;
}
