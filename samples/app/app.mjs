#!/usr/bin/env node
// The sample's only program: `server` answers and says who asked, `client` asks again and again and says what came.
import { createServer, get } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { hostname } from 'node:os';

const {
  PORT = '8080',
  TCP_PORT = '9000',
  VERSION = 'v1',
  TARGET = '',
  INTERVAL_MS = '500',
  LINGER_MS = '2000',
} = process.env;

let flaky = 0;

function serve() {
  createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    const client = request.socket.remoteAddress?.replace(/^::ffff:/, '');
    const { method, url: path, headers } = request;
    // Something to hide behind retries: every other answer is a failure.
    if (path.startsWith('/flaky') && ++flaky % 2 === 1) response.statusCode = 503;
    response.end(`${JSON.stringify({ pod: hostname(), version: VERSION, method, path, headers, client })}\n`);
  }).listen(Number(PORT));
  // One line a second for as long as the client listens: an open connection to try policies on.
  createTcpServer((socket) => {
    let count = 0;
    const tick = setInterval(() => socket.write(`tick ${++count} from ${hostname()}\n`), 200);
    socket.on('error', () => undefined).on('close', () => clearInterval(tick));
  }).listen(Number(TCP_PORT));
  console.log(`${hostname()} ${VERSION} serves HTTP on ${PORT} and ticks on ${TCP_PORT}`);
}

function ask() {
  const started = Date.now();
  const say = (text) => console.log(`${new Date().toISOString()} ${Date.now() - started} ms ${text}`);
  const request = get(TARGET, { agent: false, timeout: 5_000 }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (chunk) => (body += chunk));
    response.on('end', () => say(`${response.statusCode} ${body.trim()}`));
    response.on('error', (error) => say(`error ${error.message}`));
  });
  request.on('timeout', () => request.destroy(new Error('no answer within 5 s')));
  request.on('error', (error) => say(`error ${error.message}`));
}

switch (process.argv[2]) {
  case 'server':
    serve();
    break;
  case 'client':
    setInterval(ask, Number(INTERVAL_MS));
    break;
  default:
    console.error('usage: app.mjs server|client');
    process.exitCode = 2;
}
// Those who still have this address get an answer until word has gone round that the pod is leaving.
process.on('SIGTERM', () =>
  setTimeout(() => process.exit(0), process.argv[2] === 'server' ? Number(LINGER_MS) : 0),
);
