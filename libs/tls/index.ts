export { type CertificateFiles, readCertificates, watchCertificates } from './certificates.js';
