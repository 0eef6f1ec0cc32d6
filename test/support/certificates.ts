import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROGRAM_PATH } from './installed';

/** Paths of PEM files. */
export interface Certificate {
  cert: string;
  key: string;
}

/** Certificate authorities of our own, made by `openssl`, in a folder that is gone when it is removed. */
export class Certificates {
  private readonly folder = mkdtempSync(join(tmpdir(), 'latchkey-certificates-'));
  private count = 0;

  /** One that is trusted by nobody who is not told to. */
  authority(): Certificate {
    const { cert, key } = this.paths();
    this.openssl(
      'req',
      '-x509',
      ...NEW_KEY,
      '-keyout',
      key,
      '-subj',
      '/CN=authority',
      '-days',
      '2',
      '-out',
      cert,
    );
    return { cert, key };
  }

  /**
   * A server's certificate.
   *
   * @param by whom; undefined: by itself
   * @param names that it is good for, as in `DNS:localhost`
   * @param days that it lasts; one that has ended has fewer than none
   */
  issue({ by, names, days = 2 }: { by?: Certificate; names: string; days?: number }): Certificate {
    const { cert, key, request, extensions } = this.paths();
    writeFileSync(extensions, `subjectAltName=${names}\n`);
    this.openssl('req', ...NEW_KEY, '-keyout', key, '-subj', '/CN=server', '-out', request);
    const signer = by ? ['-CA', by.cert, '-CAkey', by.key, '-CAcreateserial'] : ['-signkey', key];
    this.openssl(
      'x509',
      '-req',
      '-in',
      request,
      ...signer,
      '-days',
      String(days),
      '-extfile',
      extensions,
      '-out',
      cert,
    );
    return { cert, key };
  }

  /** Files of their own, which may be overwritten. */
  copyOf(original: Certificate): Certificate {
    const { cert, key } = this.paths();
    copyFileSync(original.cert, cert);
    copyFileSync(original.key, key);
    return { cert, key };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  private paths() {
    const path = join(this.folder, String((this.count += 1)));
    return {
      cert: `${path}.crt`,
      key: `${path}.key`,
      request: `${path}.csr`,
      extensions: `${path}.ext`,
    };
  }

  private openssl(...words: string[]): void {
    execFileSync('openssl', words, { stdio: 'pipe', env: { ...process.env, PATH: PROGRAM_PATH } });
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export const pemOf = ({ cert }: Certificate): string => readFileSync(cert, 'utf8');

export const keyOf = ({ key }: Certificate): string => readFileSync(key, 'utf8');
