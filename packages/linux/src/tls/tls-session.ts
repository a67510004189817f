import { X509Certificate } from 'node:crypto';
import { type Address, ForeignBuffer, lastErrno } from '../reactor/foreign.ts';
import { SystemError } from '../system-error.ts';
import { type OpenSsl, openSsl, takeOpenSslError } from './openssl.ts';
import type { TlsContext } from './tls-context.ts';

/** Plaintext that one `write` may take: its records fit into the ring with room for an alert. */
export const MAX_TLS_WRITE_BYTES = 64 * 1024;
const RING_BYTES = 128 * 1024;
const SSL_ERROR_SSL = 1;
const SSL_ERROR_WANT_READ = 2;
const SSL_ERROR_SYSCALL = 5;
const SSL_ERROR_ZERO_RETURN = 6;

/** What `read` returns in place of a length. */
export const TLS_WOULD_BLOCK = -1;

/**
 * The ciphertext of whichever session made some last. All sessions of a thread write into this one ring, so whoever
 * calls OpenSSL empties it before the next call, also after a failure, which may have left an alert.
 */
export class CiphertextRing {
  readonly writeEnd: number;
  private readonly readEnd: number;
  private readonly ssl: OpenSsl;
  private readonly pointer = new ForeignBuffer(8);

  constructor() {
    this.ssl = openSsl();
    const ends = new ForeignBuffer(16);
    this.ssl.BIO_new_bio_pair(ends.address, RING_BYTES, ends.address + 8, 0);
    this.writeEnd = Number(ends.bytes.readBigUInt64LE(0));
    this.readEnd = Number(ends.bytes.readBigUInt64LE(8));
  }

  /** Bytes there; `address` says where. Emptied each time, it never wraps around. */
  get length(): number {
    return Math.max(0, this.ssl.BIO_nread0(this.readEnd, this.pointer.address));
  }

  /** After `length`. */
  get address(): Address {
    return Number(this.pointer.bytes.readBigUInt64LE(0));
  }

  /** Forgets the first bytes. */
  consume(bytes: number): void {
    if (bytes > 0) this.ssl.BIO_nread(this.readEnd, this.pointer.address, bytes);
  }

  /** Moves everything out. */
  take(): ForeignBuffer {
    const buffer = new ForeignBuffer(this.length);
    this.ssl.BIO_read(this.readEnd, buffer.address, buffer.bytes.length);
    return buffer;
  }

  /** Once no session uses it. */
  close(): void {
    this.ssl.BIO_free(this.readEnd);
    this.ssl.BIO_free(this.writeEnd);
  }
}

/** TLS on a connected, non-blocking socket: reads it directly, and leaves what is to be sent in the ring. */
export class TlsSession {
  private readonly ssl: OpenSsl;
  private readonly role: 'client' | 'server';
  private readonly pointer: number;
  private isClosed = false;

  constructor(context: TlsContext, role: 'client' | 'server', fd: number, ring: CiphertextRing) {
    const ssl = openSsl();
    this.ssl = ssl;
    this.role = role;
    ssl.ERR_clear_error();
    this.pointer = ssl.SSL_new(context.pointer);
    if (this.pointer === 0) throw new Error(`SSL_new: ${takeOpenSslError(ssl) ?? 'no memory'}`);
    ssl.SSL_set0_rbio(this.pointer, ssl.BIO_new_socket(fd, 0));
    ssl.BIO_up_ref(ring.writeEnd);
    ssl.SSL_set0_wbio(this.pointer, ring.writeEnd);
    if (role === 'client') ssl.SSL_set_connect_state(this.pointer);
    else ssl.SSL_set_accept_state(this.pointer);
  }

  /** True when it is complete and the peer's chain verified; false when more has to come. @throws Error */
  handshake(): boolean {
    const result = this.ssl.SSL_do_handshake(this.pointer);
    if (result === 1) return true;
    const errno = lastErrno();
    if (this.ssl.SSL_get_error(this.pointer, result) === SSL_ERROR_WANT_READ) return false;
    throw this.failure(result, errno);
  }

  /** Bytes decrypted, 0 at the end of the stream, or `TLS_WOULD_BLOCK`. At most one record a call. @throws Error */
  read(at: Address, length: number): number {
    const result = this.ssl.SSL_read(this.pointer, at, length);
    if (result > 0) return result;
    const errno = lastErrno();
    switch (this.ssl.SSL_get_error(this.pointer, result)) {
      case SSL_ERROR_WANT_READ:
        return TLS_WOULD_BLOCK;
      case SSL_ERROR_ZERO_RETURN:
        return 0;
      default:
        throw this.failure(result, errno);
    }
  }

  /** Encrypts all of it, at most `MAX_TLS_WRITE_BYTES`. @throws Error */
  write(at: Address, length: number): void {
    const result = this.ssl.SSL_write(this.pointer, at, length);
    if (result !== length) throw this.failure(result, lastErrno());
  }

  /** Leaves a close_notify in the ring. */
  shutdown(): void {
    this.ssl.SSL_shutdown(this.pointer);
    this.ssl.ERR_clear_error();
  }

  /** Whether the peer agreed on the context's protocol, the only one that a context offers and takes. */
  get hasProtocol(): boolean {
    const out = new ForeignBuffer(16);
    this.ssl.SSL_get0_alpn_selected(this.pointer, out.address, out.address + 8);
    return out.bytes.readUInt32LE(8) !== 0;
  }

  /** Of the verified peer. The others that it sent hang on as `issuerCertificate`, in its order, as with node:tls. */
  get peerCertificate(): X509Certificate | undefined {
    const leaf = this.ssl.SSL_get1_peer_certificate(this.pointer);
    if (leaf === 0) return undefined;
    const certificate = this.parse(leaf);
    this.ssl.X509_free(leaf);
    const chain = this.ssl.SSL_get_peer_cert_chain(this.pointer);
    // A client's view of the chain begins with the leaf, a server's behind it.
    const first = this.role === 'client' ? 1 : 0;
    let last = certificate;
    for (let index = first; index < this.ssl.OPENSSL_sk_num(chain); index++) {
      const issuer = this.parse(this.ssl.OPENSSL_sk_value(chain, index));
      Object.defineProperty(last, 'issuerCertificate', { value: issuer });
      last = issuer;
    }
    return certificate;
  }

  private parse(certificate: number): X509Certificate {
    const der = new ForeignBuffer(this.ssl.i2d_X509(certificate, 0));
    const cursor = new ForeignBuffer(8);
    cursor.bytes.writeBigUInt64LE(BigInt(der.address), 0);
    this.ssl.i2d_X509(certificate, cursor.address);
    return new X509Certificate(der.bytes);
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.ssl.SSL_free(this.pointer);
  }

  private failure(result: number, errno: number): Error {
    const kind = this.ssl.SSL_get_error(this.pointer, result);
    const words = takeOpenSslError(this.ssl);
    if (kind === SSL_ERROR_SYSCALL && words === undefined && errno !== 0)
      return new SystemError('read', errno);
    const verified = this.ssl.SSL_get_verify_result(this.pointer);
    // An interface of strings too, for this one function.
    const why = verified === 0 ? '' : ` (${String(this.ssl.X509_verify_cert_error_string(verified))})`;
    return new Error(`${words ?? (kind === SSL_ERROR_SSL ? 'TLS failed' : 'closed in the handshake')}${why}`);
  }
}
