import { useState } from 'preact/hooks';
import type { Image, Page } from './api.js';
import { ago, bytes } from './format.js';
import { Search, Trouble } from './parts.js';
import { useApi } from './use.js';

const SORTS = { '-lastAccess': 'last used', reference: 'name', '-size': 'size', '-storedAt': 'newest' };

export function Images() {
  const [pattern, setPattern] = useState('');
  const [sort, setSort] = useState('-lastAccess');
  const [cursors, setCursors] = useState<readonly string[]>([]);
  const cursor = cursors.at(-1);
  const query = new URLSearchParams({
    limit: '50',
    sort,
    ...(pattern ? { pattern } : {}),
    ...(cursor ? { cursor } : {}),
  });
  const { data, error } = useApi<Page<Image>>(`images?${query}`);
  return (
    <section>
      <h2>
        Images
        <span class="choices">
          <Search
            value={pattern}
            hint="expression, or glob:docker.io/library/*"
            onChange={(value) => {
              setCursors([]);
              setPattern(value.trim());
            }}
          />
          <select
            value={sort}
            aria-label="Order"
            onChange={(event) => {
              setCursors([]);
              setSort(event.currentTarget.value);
            }}
          >
            {Object.entries(SORTS).map(([key, title]) => (
              <option key={key} value={key}>
                {title}
              </option>
            ))}
          </select>
        </span>
      </h2>
      <Trouble error={error} />
      {data?.items.length === 0 && <p class="nothing">{pattern ? 'Nothing matches.' : 'Nothing is cached yet.'}</p>}
      {data && data.items.length > 0 && (
        <table>
          <thead>
            <tr>
              <th>Image</th>
              <th>Platforms</th>
              <th class="number">Size</th>
              <th class="number">Last used</th>
              <th class="number">Stored</th>
            </tr>
          </thead>
          <tbody>
            {data.items.map((image) => (
              <tr key={image.reference}>
                <td>
                  <a href={`#/image/${encodeURIComponent(image.reference)}`}>{image.reference}</a>
                </td>
                <td>{image.platforms.join(', ')}</td>
                <td class="number">{bytes(image.size)}</td>
                <td class="number">{ago(image.lastAccess)}</td>
                <td class="number">{ago(image.storedAt)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p class="choices">
        <button type="button" disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
          Back
        </button>
        <button type="button" disabled={!data?.next} onClick={() => data?.next && setCursors([...cursors, data.next])}>
          More
        </button>
      </p>
    </section>
  );
}
