import koffi from 'koffi';
import { bindSelf, ForeignBuffer } from '../reactor/foreign.ts';

/** Functions of node's own OpenSSL 3, in its binary or beside it. Pointers are numbers. */
const definitions = {
  TLS_method: 'size_t TLS_method()',
  SSL_CTX_new: 'size_t SSL_CTX_new(size_t)',
  SSL_CTX_free: 'void SSL_CTX_free(size_t)',
  SSL_CTX_ctrl: 'long SSL_CTX_ctrl(size_t, int, long, size_t)',
  SSL_CTX_set_options: 'uint64_t SSL_CTX_set_options(size_t, uint64_t)',
  SSL_CTX_set_num_tickets: 'int SSL_CTX_set_num_tickets(size_t, size_t)',
  SSL_CTX_set_cipher_list: 'int SSL_CTX_set_cipher_list(size_t, const char *)',
  SSL_CTX_set_ciphersuites: 'int SSL_CTX_set_ciphersuites(size_t, const char *)',
  SSL_CTX_set_verify: 'void SSL_CTX_set_verify(size_t, int, size_t)',
  SSL_CTX_use_certificate: 'int SSL_CTX_use_certificate(size_t, size_t)',
  SSL_CTX_use_PrivateKey: 'int SSL_CTX_use_PrivateKey(size_t, size_t)',
  SSL_CTX_check_private_key: 'int SSL_CTX_check_private_key(size_t)',
  SSL_CTX_add_client_CA: 'int SSL_CTX_add_client_CA(size_t, size_t)',
  SSL_CTX_get_cert_store: 'size_t SSL_CTX_get_cert_store(size_t)',
  SSL_CTX_set_default_read_buffer_len: 'void SSL_CTX_set_default_read_buffer_len(size_t, size_t)',
  SSL_CTX_set_alpn_protos: 'int SSL_CTX_set_alpn_protos(size_t, size_t, uint)',
  SSL_CTX_set_alpn_select_cb: 'void SSL_CTX_set_alpn_select_cb(size_t, void *, size_t)',
  SSL_select_next_proto: 'int SSL_select_next_proto(size_t, size_t, size_t, uint, size_t, uint)',
  SSL_new: 'size_t SSL_new(size_t)',
  SSL_free: 'void SSL_free(size_t)',
  SSL_set_accept_state: 'void SSL_set_accept_state(size_t)',
  SSL_set_connect_state: 'void SSL_set_connect_state(size_t)',
  SSL_set0_rbio: 'void SSL_set0_rbio(size_t, size_t)',
  SSL_set0_wbio: 'void SSL_set0_wbio(size_t, size_t)',
  SSL_do_handshake: 'int SSL_do_handshake(size_t)',
  SSL_read: 'int SSL_read(size_t, size_t, int)',
  SSL_write: 'int SSL_write(size_t, size_t, int)',
  SSL_shutdown: 'int SSL_shutdown(size_t)',
  SSL_get_error: 'int SSL_get_error(size_t, int)',
  SSL_get_verify_result: 'long SSL_get_verify_result(size_t)',
  SSL_get0_alpn_selected: 'void SSL_get0_alpn_selected(size_t, size_t, size_t)',
  SSL_get1_peer_certificate: 'size_t SSL_get1_peer_certificate(size_t)',
  SSL_get_peer_cert_chain: 'size_t SSL_get_peer_cert_chain(size_t)',
  OPENSSL_sk_num: 'int OPENSSL_sk_num(size_t)',
  OPENSSL_sk_value: 'size_t OPENSSL_sk_value(size_t, int)',
  BIO_new_socket: 'size_t BIO_new_socket(int, int)',
  BIO_new_bio_pair: 'int BIO_new_bio_pair(size_t, size_t, size_t, size_t)',
  BIO_new_mem_buf: 'size_t BIO_new_mem_buf(size_t, int)',
  BIO_up_ref: 'int BIO_up_ref(size_t)',
  BIO_free: 'int BIO_free(size_t)',
  BIO_read: 'int BIO_read(size_t, size_t, int)',
  BIO_nread0: 'int BIO_nread0(size_t, size_t)',
  BIO_nread: 'int BIO_nread(size_t, size_t, int)',
  PEM_read_bio_X509: 'size_t PEM_read_bio_X509(size_t, size_t, size_t, size_t)',
  PEM_read_bio_PrivateKey: 'size_t PEM_read_bio_PrivateKey(size_t, size_t, size_t, size_t)',
  X509_STORE_add_cert: 'int X509_STORE_add_cert(size_t, size_t)',
  X509_free: 'void X509_free(size_t)',
  X509_verify_cert_error_string: 'const char *X509_verify_cert_error_string(long)',
  EVP_PKEY_free: 'void EVP_PKEY_free(size_t)',
  i2d_X509: 'int i2d_X509(size_t, size_t)',
  ERR_get_error: 'unsigned long ERR_get_error()',
  ERR_error_string_n: 'void ERR_error_string_n(unsigned long, size_t, size_t)',
  ERR_clear_error: 'void ERR_clear_error()',
} as const;

export type OpenSsl = ReturnType<typeof bindSelf<typeof definitions>>;

let bound: OpenSsl | undefined;

/** @throws if this build of node hides them; one that is linked to a shared OpenSSL has that one's. */
export function openSsl(): OpenSsl {
  bound ??= bindSelf(definitions);
  return bound;
}

const ERROR_TEXT_BYTES = 256;

/** The oldest error in the thread's queue, in words; empties the queue, or the next call would be judged by it. */
export function takeOpenSslError(ssl: OpenSsl): string | undefined {
  const code = ssl.ERR_get_error();
  if (code === 0) return undefined;
  const text = new ForeignBuffer(ERROR_TEXT_BYTES);
  ssl.ERR_error_string_n(code, text.address, ERROR_TEXT_BYTES);
  ssl.ERR_clear_error();
  return text.bytes.toString('latin1', 0, text.bytes.indexOf(0));
}

const SELECT_NEGOTIATED = 1;
const CALLBACK_OK = 0;
const CALLBACK_ALERT_FATAL = 2;

/** Chooses among the client's protocols by the server's list, for SSL_CTX_set_alpn_select_cb. Never unregistered. */
export function alpnSelector(ssl: OpenSsl, list: ForeignBuffer): unknown {
  const type = koffi.proto('int', ['size_t', 'size_t', 'size_t', 'size_t', 'uint', 'size_t']);
  return koffi.register(
    (_ssl: number, out: number, outLength: number, offered: number, offeredLength: number) => {
      const { address, bytes } = list;
      const chosen = ssl.SSL_select_next_proto(out, outLength, address, bytes.length, offered, offeredLength);
      return chosen === SELECT_NEGOTIATED ? CALLBACK_OK : CALLBACK_ALERT_FATAL;
    },
    koffi.pointer(type),
  );
}
