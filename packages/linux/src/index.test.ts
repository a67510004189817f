import { expect, it } from '@jest/globals';
import { raiseFileLimit } from './file-limit.ts';
import { createTcpListener } from './tcp-socket.ts';
import { closeDescriptor } from './descriptor.ts';

it('raises the limit of open files and tells it', () => {
  expect(raiseFileLimit()).toBeGreaterThan(256);
});

it('names the errno and the address when a port is taken', () => {
  const { fd } = createTcpListener({ host: '127.0.0.1', port: 45_871 });
  try {
    expect(() => createTcpListener({ host: '127.0.0.1', port: 45_871 })).toThrow(
      expect.objectContaining({ code: 'EADDRINUSE', message: expect.stringContaining('127.0.0.1:45871') }),
    );
  } finally {
    closeDescriptor(fd);
  }
});
