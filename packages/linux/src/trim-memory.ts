import koffi from 'koffi';

/** Has glibc's allocator give what it holds free back to the system. musl's does so by itself, and has no such call. */
export function memoryTrimmer(): () => void {
  try {
    const trim = koffi.load(null).func('int malloc_trim(size_t)') as (pad: number) => number;
    return () => void trim(0);
  } catch {
    return () => undefined;
  }
}
