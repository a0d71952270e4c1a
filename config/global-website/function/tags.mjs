// Tags of pages, by which they are purged. They are separated by spaces: names are coded.
export const ofSection = (section) => `section-${encodeURIComponent(section)}`;
export const ofArticle = (section, slug) => `article-${encodeURIComponent(section)}/${encodeURIComponent(slug)}`;

// Asks this PoP, which tells the others.
export async function purge(...tag) {
  const answer = await fetch(process.env.PURGE, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tag }),
  });
  if (!answer.ok) throw new Error(`the purge was answered ${answer.status}`);
}
