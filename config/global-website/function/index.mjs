// Pages of articles, and their editing: a Lambda handler for an HTTP API (payload format 2.0).
import { dynamodb } from "../../dynamodb.mjs";
import { ofArticle, ofSection, purge } from "./tags.mjs";

const TableName = "articles";

const escape = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

// Kept at the edge until a purge names one of `tags`; browsers ask again each time.
function page(status, title, content, tags) {
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "max-age=0, s-maxage=86400",
    "surrogate-key": tags.join(" "),
  };
  const head = `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>${escape(title)}</title>\n<link rel="stylesheet" href="/style.css">\n`;
  return { statusCode: status, headers, body: `${head}<h1>${escape(title)}</h1>\n${content}\n` };
}

const said = (status, body) => ({ statusCode: status, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

const link = (section, { slug, title }) =>
  `<li><a href="/articles/${encodeURIComponent(section)}/${encodeURIComponent(slug.S)}">${escape(title.S)}</a></li>`;

const ROUTES = {
  async "GET /articles/{section}"({ section }) {
    const { Items } = await dynamodb("Query", {
      TableName,
      KeyConditionExpression: "#s = :s",
      ProjectionExpression: "slug, title",
      ExpressionAttributeNames: { "#s": "section" },
      ExpressionAttributeValues: { ":s": { S: section } },
      Limit: 100,
    });
    return page(200, section, `<ul>\n${Items.map((item) => link(section, item)).join("\n")}\n</ul>`, [ofSection(section)]);
  },

  async "GET /articles/{section}/{slug}"({ section, slug }) {
    const { Item } = await dynamodb("GetItem", { TableName, Key: { section: { S: section }, slug: { S: slug } } });
    const paragraphs = (text) => text.split("\n\n").map((part) => `<p>${escape(part)}</p>`).join("\n");
    return Item ? page(200, Item.title.S, paragraphs(Item.text.S), [ofArticle(section, slug)]) : page(404, "Not printed", "<p>No such article.</p>", [ofArticle(section, slug)]);
  },

  // What readers of this PoP see changes before the editor is told; elsewhere it does when the article is there (editions.mjs).
  async "PUT /edit/{section}/{slug}"({ section, slug }, event) {
    let sent;
    try {
      sent = JSON.parse(event.isBase64Encoded ? Buffer.from(event.body, "base64") : event.body);
    } catch {
      return said(400, { message: "the body is no JSON" });
    }
    if (typeof sent.title !== "string" || typeof sent.text !== "string") return said(400, { message: "an article has title and text" });
    const Item = { section: { S: section }, slug: { S: slug }, title: { S: sent.title }, text: { S: sent.text } };
    await dynamodb("PutItem", { TableName, Item });
    await purge(ofSection(section), ofArticle(section, slug));
    return said(200, { section, slug });
  },

  async "DELETE /edit/{section}/{slug}"({ section, slug }) {
    await dynamodb("DeleteItem", { TableName, Key: { section: { S: section }, slug: { S: slug } } });
    await purge(ofSection(section), ofArticle(section, slug));
    return { statusCode: 204 };
  },
};

export async function handler(event) {
  const named = Object.entries(event.pathParameters ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]);
  return ROUTES[event.routeKey](Object.fromEntries(named), event);
}
