import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { closeDescriptor } from './descriptor.ts';
import { check, errno, libc, pollReadable, type PollHandle } from './libc.ts';
import { acceptSocket, openSocket } from './open-socket.ts';
import { MAX_DESCRIPTORS, SeqpacketMessage } from './seqpacket-message.ts';
import { AF_UNIX, encodeUnixAddress } from './socket-address.ts';
import { SystemError } from './system-error.ts';

const { EAGAIN, EINTR, ECONNABORTED } = constants.errno;

/** The protocol that this is made for (ZDS) allows 1,024 bytes a packet. */
const DEFAULT_MAX_PACKET_BYTES = 1024;
const DEFAULT_MAX_CONNECTIONS = 64;
const BACKLOG = 16;
/** Packets of one connection handled in a turn before others get theirs. */
const PACKETS_PER_TURN = 16;

export interface SeqpacketPacket {
  readonly bytes: Buffer;
  /** Descriptors that came with it, close-on-exec; the receiver owns them. */
  readonly fds: number[];
  /** The packet was longer than the limit, or had more descriptors. */
  readonly truncated: boolean;
}

/** One end of an AF_UNIX SOCK_SEQPACKET connection. Assign the handlers in the turn that made it. */
export interface SeqpacketConnection {
  /**
   * Sends one packet; the descriptors stay the caller's. Throws a SystemError, `EAGAIN` when the peer doesn't
   * read (nothing is queued here) and `EPIPE` when it is gone or this end is closed.
   */
  send(bytes: Uint8Array, fds?: readonly number[]): void;
  onPacket: (packet: SeqpacketPacket) => void;
  /** Called once, unless `close` was called first. Without an error the peer closed. */
  onClose: (error?: Error) => void;
  close(): void;
}

export interface SeqpacketOptions {
  readonly maxPacketBytes?: number;
}
export interface SeqpacketServerOptions extends SeqpacketOptions {
  /** Permissions of the socket file. */
  readonly mode?: number;
  /** Further connections are closed at once. */
  readonly maxConnections?: number;
}

export class SeqpacketServer {
  private readonly path: string;
  private readonly inode: bigint;
  private readonly fd: number;
  private readonly poll: PollHandle;
  private readonly connections = new Set<SeqpacketConnection>();
  private isClosed = false;

  private constructor(
    fd: number,
    path: string,
    onConnection: (connection: SeqpacketConnection) => void,
    options: SeqpacketServerOptions,
  ) {
    this.fd = fd;
    this.path = path;
    this.inode = lstatSync(path, { bigint: true }).ino;
    this.poll = pollReadable(fd, () => this.accept(onConnection, options));
  }

  /**
   * Listens at a path. A socket file that nobody listens on any more is replaced; one in use is EADDRINUSE.
   * The file can't be connected to before its mode is set.
   */
  static listen(
    path: string,
    onConnection: (connection: SeqpacketConnection) => void,
    options: SeqpacketServerOptions = {},
  ): SeqpacketServer {
    const fd = openSocket(AF_UNIX, 'seqpacket');
    try {
      const address = encodeUnixAddress(path);
      if (isAbandoned(path)) unlinkSync(path);
      check(`bind ${path}`, libc().bind(fd, address, address.length));
      chmodSync(path, options.mode ?? 0o600);
      check('listen', libc().listen(fd, BACKLOG));
      return new SeqpacketServer(fd, path, onConnection, options);
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  /** Stops listening and closes every connection. Removes the file unless a successor has replaced it. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.poll.close();
    closeDescriptor(this.fd);
    for (const connection of this.connections) connection.close();
    this.connections.clear();
    if (lstatSync(this.path, { bigint: true, throwIfNoEntry: false })?.ino === this.inode)
      unlinkSync(this.path);
  }

  private accept(
    onConnection: (connection: SeqpacketConnection) => void,
    options: SeqpacketServerOptions,
  ): void {
    for (;;) {
      if (this.isClosed) return;
      const fd = acceptSocket(this.fd);
      if (fd < 0) {
        const code = errno();
        if (code === EINTR || code === ECONNABORTED) continue;
        // Out of descriptors or memory: the connection waits in the backlog and poll calls again.
        return;
      }
      if (this.connections.size >= (options.maxConnections ?? DEFAULT_MAX_CONNECTIONS)) {
        closeDescriptor(fd);
        continue;
      }
      const connection: SeqpacketConnection = new Connection(fd, options, () =>
        this.connections.delete(connection),
      );
      this.connections.add(connection);
      onConnection(connection);
    }
  }
}

/** Connects to a listening socket file. Throws a SystemError: ENOENT, ECONNREFUSED, EACCES… */
export function connectSeqpacket(path: string, options: SeqpacketOptions = {}): SeqpacketConnection {
  const fd = openSocket(AF_UNIX, 'seqpacket');
  try {
    const address = encodeUnixAddress(path);
    check(`connect ${path}`, libc().connect(fd, address, address.length));
    return new Connection(fd, options, () => undefined);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

class Connection implements SeqpacketConnection {
  onPacket: (packet: SeqpacketPacket) => void = ({ fds }) => fds.forEach(closeDescriptor);
  onClose: (error?: Error) => void = () => undefined;

  private readonly fd: number;
  private readonly maxPacketBytes: number;
  private readonly incoming: SeqpacketMessage;
  private readonly outgoing: SeqpacketMessage;
  private readonly poll: PollHandle;
  private readonly onEnd: () => void;
  private isClosed = false;

  constructor(fd: number, options: SeqpacketOptions, onEnd: () => void) {
    this.fd = fd;
    this.maxPacketBytes = options.maxPacketBytes ?? DEFAULT_MAX_PACKET_BYTES;
    this.incoming = new SeqpacketMessage(this.maxPacketBytes);
    this.outgoing = new SeqpacketMessage(this.maxPacketBytes);
    this.onEnd = onEnd;
    this.poll = pollReadable(fd, () => this.read());
  }

  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (this.isClosed) throw new SystemError('sendmsg', constants.errno.EPIPE);
    if (bytes.length > this.maxPacketBytes || fds.length > MAX_DESCRIPTORS) {
      throw new SystemError('sendmsg', constants.errno.EMSGSIZE);
    }
    for (;;) {
      if (this.outgoing.send(this.fd, bytes, fds) >= 0) return;
      const code = errno();
      if (code !== EINTR) throw new SystemError('sendmsg', code);
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.poll.close();
    closeDescriptor(this.fd);
    this.onEnd();
  }

  private read(): void {
    for (let i = 0; i < PACKETS_PER_TURN && !this.isClosed; i++) {
      const length = this.incoming.receive(this.fd);
      if (length < 0) {
        const code = errno();
        if (code === EINTR) continue;
        if (code !== EAGAIN) this.end(new SystemError('recvmsg', code));
        return;
      }
      const packet = this.incoming.received(length);
      // A packet of no bytes looks like the end of the connection; neither is of use.
      if (length === 0 && packet.fds.length === 0) return this.end();
      this.onPacket(packet);
    }
  }

  private end(error?: Error): void {
    this.close();
    this.onClose(error);
  }
}

function isAbandoned(path: string): boolean {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
  try {
    connectSeqpacket(path).close();
    return false;
  } catch (error) {
    return error instanceof SystemError && error.code === 'ECONNREFUSED';
  }
}
