import { createPrivateKey, X509Certificate } from 'node:crypto';
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

/** A private key in PEM form, as a program reads it that nobody types a passphrase for. */
export const privateKey = z
  .string()
  .refine(
    (text) => isPrivateKey(text),
    'must hold one private key in PEM form, without a passphrase, from -----BEGIN to its end',
  );

function isPrivateKey(text: string): boolean {
  try {
    return createPrivateKey(text).type === 'private';
  } catch {
    return false;
  }
}

/** Whether the first of `certificates` is that of `key`. */
export function belongTogether(certificates: string, key: string): boolean {
  return new X509Certificate(certificates).checkPrivateKey(createPrivateKey(key));
}

/** When the first of `certificates` ends. */
export function endOf(certificates: string): Date {
  return new Date(new X509Certificate(certificates).validTo);
}
