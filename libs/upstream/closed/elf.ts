/** Machines that the program is made for; by Go's name. */
export type Machine = 'amd64' | 'arm64';

const BASE = 0x400000;
const HEADERS = 64 + 56;
const EM: Readonly<Record<Machine, number>> = { amd64: 62, arm64: 183 };

/** A static Linux program that prints `text` and ends: 64-bit ELF (System V ABI), one segment, two system calls. */
export function printingProgram(machine: Machine, text: string): Buffer {
  const message = Buffer.from(text);
  const size = code(machine, 0, message.length).length;
  const program = Buffer.concat([code(machine, size, message.length), message]);
  return Buffer.concat([headers(EM[machine], HEADERS + program.length), program]);
}

/** `at`: where the message stands, counted from the first instruction. */
function code(machine: Machine, at: number, length: number): Buffer {
  return machine === 'amd64' ? amd64(at, length) : arm64(at, length);
}

function amd64(at: number, length: number): Buffer {
  const immediate = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
  return Buffer.from([
    ...[0xb8, ...immediate(1)], // mov eax, write
    ...[0xbf, ...immediate(1)], // mov edi, stdout
    ...[0xbe, ...immediate(BASE + HEADERS + at)], // mov esi, message
    ...[0xba, ...immediate(length)], // mov edx, length
    ...[0x0f, 0x05], // syscall
    ...[0xb8, ...immediate(60)], // mov eax, exit
    ...[0x31, 0xff], // xor edi, edi
    ...[0x0f, 0x05], // syscall
  ]);
}

function arm64(at: number, length: number): Buffer {
  const move = (register: number, value: number) => 0xd2800000 + value * 32 + register;
  const distance = Math.max(0, at - 4);
  const words = [
    move(0, 1), // stdout
    0x10000000 + (distance & 3) * 2 ** 29 + (distance >> 2) * 32 + 1, // adr x1, message
    move(2, length),
    move(8, 64), // write
    0xd4000001, // svc 0
    move(0, 0),
    move(8, 93), // exit
    0xd4000001,
  ];
  const bytes = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, i * 4);
  return bytes;
}

function headers(machine: number, size: number): Buffer {
  const header = Buffer.alloc(HEADERS);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(BASE + HEADERS), 24); // entry
  header.writeBigUInt64LE(64n, 32); // program headers
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64); // loaded
  header.writeUInt32LE(5, 68); // readable, executable
  for (const at of [80, 88]) header.writeBigUInt64LE(BigInt(BASE), at);
  for (const at of [96, 104]) header.writeBigUInt64LE(BigInt(size), at);
  header.writeBigUInt64LE(0x10000n, 112); // the largest page of arm64
  return header;
}
