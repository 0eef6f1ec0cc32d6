import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { issued } from './secret-watch';

/** How a request ended, as its client sees it. `away`: nobody took the connection, so nothing was sent. */
export type Ending = { status: number; body: Record<string, string> } | 'away';

/** A client with one connection, which it keeps for as long as it is let, and who repeats nothing by himself. */
export class KeptConnection {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(private readonly origin: string) {}

  /** Sends a request. Throws when a connection is lost on which it may have been sent. */
  async ask(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: object,
  ): Promise<Ending> {
    const call = request(this.origin + path, {
      ...{ method, agent: this.agent },
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    });
    const sent = body && JSON.stringify(body);
    call.end(sent);
    try {
      const [answer] = (await once(call, 'response')) as [IncomingMessage];
      const { statusCode: status = 0 } = answer;
      const received = await text(answer);
      issued.noteCall({ status, headers: new Headers(headers), request: sent, answer: received });
      const parsed = (received ? JSON.parse(received) : {}) as Record<string, string>;
      return { status, body: parsed };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return 'away';
      throw error;
    }
  }

  close(): void {
    this.agent.destroy();
  }
}
