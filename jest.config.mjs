// Tests run on the compiled output: the production code itself, source-mapped.
export default {
  testEnvironment: 'node',
  transform: {},
  testMatch: ['<rootDir>/{packages/*,cni-plugin,e2e,bench}/dist/**/*.test.js'],
  testTimeout: 30_000,
};
