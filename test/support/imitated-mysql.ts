import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { createServer } from 'mysql2';

/** What is said to a statement: one row of one value, that it is done, or the number of an error. */
export type Said = { name: string; value: string } | 'done' | { errno: number };

/** What the driver's own server side has of a connection, as far as it is used here. */
interface ServerSide {
  sequenceId: number;
  serverHandshake(args: object): void;
  writeOk(): void;
  writeError(error: { code: number; message: string }): void;
  writeColumns(columns: object[]): void;
  writeTextRow(values: string[]): void;
  writeEof(): void;
  on(event: string, listener: (sql: string) => void): void;
}

const COLUMN = {
  ...{ catalog: 'def', schema: '', table: '', orgTable: '', orgName: '' },
  ...{ characterSet: 33, columnLength: 100, columnType: 253, flags: 0, decimals: 0 },
};

/** Speaks as a MySQL server, for what no server says that can be had here. */
export class ImitatedMysql {
  private constructor(
    private readonly listener: Server,
    readonly close: () => void,
  ) {}

  static async saying(version: string, answer: (sql: string) => Said): Promise<ImitatedMysql> {
    const server = createServer((raw) => {
      const connection = raw as unknown as ServerSide;
      const hear = (sql: string) => {
        say(connection, answer(sql));
        // Of the next statement.
        connection.sequenceId = 0;
      };
      connection.on('error', () => undefined);
      // The driver takes a SET for the beginning of something else.
      for (const event of ['query', 'stmt_prepare']) connection.on(event, hear);
      connection.serverHandshake({
        ...{ protocolVersion: 10, serverVersion: version, connectionId: 1, statusFlags: 2, characterSet: 8 },
        // Neither compressed nor encrypted.
        capabilityFlags: 0xffffff & ~(0x20 | 0x800),
        authCallback: (_: unknown, done: (error: null) => void) => {
          done(null);
          connection.sequenceId = 0;
        },
      });
    });
    server.listen(0);
    const { _server: listener } = server as unknown as { _server: Server };
    await once(listener, 'listening');
    return new ImitatedMysql(listener, () => server.close(() => undefined));
  }

  get url(): string {
    return `mysql://latchkey:kettle@127.0.0.1:${(this.listener.address() as AddressInfo).port}/auth`;
  }
}

function say(connection: ServerSide, said: Said): void {
  if (said === 'done') return connection.writeOk();
  if ('errno' in said) return connection.writeError({ code: said.errno, message: 'refused' });
  connection.writeColumns([{ ...COLUMN, name: said.name }]);
  connection.writeTextRow([said.value]);
  connection.writeEof();
}
