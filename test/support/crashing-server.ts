import 'reflect-metadata';
import { createInterface } from 'node:readline';
import { createApp } from '../../src/app';
import { AccountService } from '../../src/auth/account.service';
import { loadConfig } from '../../src/config/load-config';
import { type Failpoint, Failpoints } from '../../src/core/failpoints';
import { createLog } from '../../src/core/log';

/**
 * The service as a process that ends itself with SIGKILL at the place that is typed in. A second line names an account to
 * disable, which no request can do. Hashes are cheap. Bundled from the build by `bundle-crashing-server.mjs`.
 */
async function main(): Promise<void> {
  const failpoints = new DeadlyFailpoints();
  const config = loadConfig(process.env);
  const app = await createApp(config, createLog('silent'), {
    failpoints,
    hashCost: { memoryKib: 8, passes: 1, lanes: 1 },
  });
  await app.listen(config.port, config.host);
  createInterface({ input: process.stdin }).on('line', (line) => {
    if (failpoints.deadly === undefined) {
      failpoints.deadly = line as Failpoint;
      process.stdout.write(`deadly: ${line}\n`);
    } else {
      void app.get(AccountService).disable(line, { ip: 'test', userAgent: null, requestId: 'test' });
    }
  });
  process.stdout.write(`ready at ${await app.getUrl()}\n`);
}

class DeadlyFailpoints extends Failpoints {
  deadly: Failpoint | undefined;

  override reach(point: Failpoint): undefined {
    // The signal is delivered before the call returns: nothing is done any more.
    if (point === this.deadly) process.kill(process.pid, 'SIGKILL');
    return undefined;
  }
}

void main();
