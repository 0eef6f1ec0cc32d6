import type { TestApp } from './app';
import { TcpProxy } from './tcp-proxy';

/** What a call costs a MariaDB server. */
export interface Traffic {
  /** Rows that it looks at, of any table. */
  read: number;
  /** Rows that it inserts, changes or deletes. */
  written: number;
  /** Bytes that the service sends. */
  sent: number;
  /** Bytes that it gets back. */
  received: number;
}

/** A way to a MariaDB server on which everything is counted. */
export class DatabaseTraffic {
  private sent = 0;
  private received = 0;

  private constructor(
    private readonly way: TcpProxy,
    private readonly direct: string,
  ) {
    way.overhear((chunk, speaker) => {
      if (speaker === 'client') this.sent += chunk.length;
      else this.received += chunk.length;
    });
  }

  /** @param url of a database, as the setting DATABASE_URL */
  static async to(url: string): Promise<DatabaseTraffic> {
    return new DatabaseTraffic(await TcpProxy.to(Number(new URL(url).port || 3306)), url);
  }

  /** The setting DATABASE_URL of an application that is to be counted. */
  get url(): string {
    const url = new URL(this.direct);
    url.port = String(this.way.port);
    return url.href;
  }

  /** What `work` costs, which must have one connection at a time and leave nothing under way. */
  async during(app: TestApp, work: () => Promise<unknown>): Promise<Traffic> {
    const before = await rowsCounted(app);
    this.sent = 0;
    this.received = 0;
    await work();
    const { sent, received } = this;
    const after = await rowsCounted(app);
    if (after.connection !== before.connection) throw new Error('Some of it went over another connection');
    return {
      read: after.read - before.read,
      written: after.written - before.written,
      sent,
      received,
    };
  }

  close(): Promise<void> {
    return this.way.close();
  }
}

/** As the server counts them by connection. The pool gives out the connection again that came back last. */
async function rowsCounted(
  app: TestApp,
): Promise<{ connection: string } & Pick<Traffic, 'read' | 'written'>> {
  const counted = await app.rows<{ name: string; value: string }>(
    `SELECT 'connection' AS name, CONNECTION_ID() AS value
     UNION ALL
     SELECT LOWER(variable_name), variable_value FROM information_schema.session_status
     WHERE variable_name IN ('rows_read', 'handler_write', 'handler_update', 'handler_delete')`,
  );
  const of = (wanted: string) => counted.find(({ name }) => name === wanted)?.value ?? '';
  const [inserted, changed, deleted] = ['handler_write', 'handler_update', 'handler_delete'].map((name) =>
    Number(of(name)),
  ) as [number, number, number];
  return {
    connection: String(of('connection')),
    read: Number(of('rows_read')),
    written: inserted + changed + deleted,
  };
}
