import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A breached-password service of our own on this machine, which answers as the test says. */
export interface RangeService {
  url: string;
  /** What has been asked: path and headers. */
  asked: { path: string; headers: IncomingMessage['headers'] }[];
  answerWith(handler: Handler): void;
  close(): Promise<void>;
}

export async function startRangeService(): Promise<RangeService> {
  const asked: RangeService['asked'] = [];
  let handler: Handler = (_, response) => response.end();
  const server = createServer((request, response) => {
    asked.push({ path: request.url ?? '', headers: request.headers });
    handler(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/range`,
    asked,
    answerWith: (next) => void (handler = next),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** How the service calls a password. */
export function digestOf(password: string): string {
  return createHash('sha1').update(password).digest('hex').toUpperCase();
}

/** A line of an answer: the digest without the five digits that were asked for. */
export const line = (password: string, count: number): string => `${digestOf(password).slice(5)}:${count}`;
