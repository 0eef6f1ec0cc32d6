import { X509Certificate } from 'node:crypto';
import { z } from 'zod';

/** Certificates in PEM form, one after the other. */
export const certificates = z
  .string()
  .refine(
    (text) => areCertificates(text),
    'must hold one certificate or more in PEM form, each from -----BEGIN CERTIFICATE----- to its end',
  );

function areCertificates(text: string): boolean {
  const blocks = text.split(/(?<=-----END CERTIFICATE-----)\s*/).filter((block) => block !== '');
  try {
    return blocks.length > 0 && blocks.every((block) => new X509Certificate(block));
  } catch {
    return false;
  }
}
