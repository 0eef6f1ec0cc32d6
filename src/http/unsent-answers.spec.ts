import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { Metrics } from '../core/metrics';
import { Closings } from './closings';
import { UnsentAnswers } from './unsent-answers';

const ANSWER = Buffer.alloc(8 * 1024 * 1024, 'x');
const MOST = 40 * 1024 * 1024;

describe('answers that clients have yet to take', () => {
  const counted: object[] = [];
  const metrics = Object.assign(new Metrics(), {
    count: (name: string, { reason }: { reason: string }, by = 1) => void counted.push({ name, reason, by }),
  });
  const unsent = new UnsentAnswers(new Closings(metrics), MOST);
  let server: Server;
  let answered = 0;
  const accepted: Socket[] = [];
  beforeEach(async () => {
    answered = 0;
    accepted.length = 0;
    counted.length = 0;
    server = createServer((_, response) => {
      response.end(ANSWER);
      answered += 1;
    });
    server.on('connection', (socket) => accepted.push(socket));
    unsent.watch(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  afterEach(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });

  /** Somebody who asks so often and takes nothing. */
  const askWithoutReading = async (times: number): Promise<Socket> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
    const before = answered;
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(times));
    while (answered < before + times) await new Promise((resolve) => setImmediate(resolve));
    return socket;
  };

  it('are left to them as long as there is room, and counted until they are taken', async () => {
    const client = await askWithoutReading(3);
    const [socket] = accepted as [Socket];

    unsent.relieve();

    expect(socket.destroyed).toBe(false);
    expect(unsent.of(socket)).toBe(3);
    client.resume();
    while (unsent.of(socket) > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('cost those their connection for whom the most is kept, where all are too much, and nobody else', async () => {
    for (const times of [1, 2, 4]) await askWithoutReading(times);

    unsent.relieve();

    expect(accepted.map(({ destroyed }) => destroyed)).toEqual([false, false, true]);
    expect(counted).toEqual([{ name: 'latchkey_connections_closed_total', reason: 'unread', by: 1 }]);
  });

  it('are looked after by themselves', async () => {
    await askWithoutReading(6);
    const [socket] = accepted as [Socket];

    await once(socket, 'close');

    expect(unsent.of(socket)).toBe(0);
  });
});
