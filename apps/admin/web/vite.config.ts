import preact from '@preact/preset-vite';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  // Below whatever path a proxy gives the admin port.
  base: './',
  plugins: [preact()],
  build: {
    outDir: '../../../dist/apps/admin/web',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8081' } },
});
