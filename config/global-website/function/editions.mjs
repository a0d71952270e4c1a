// Called with the records of the table's stream, whichever PoP wrote: keeps every edition of an article, and purges the pages that may have
// been made from the one before. A record that comes twice is the same item.
import { dynamodb } from "../../dynamodb.mjs";
import { ofArticle, ofSection, purge } from "./tags.mjs";

export async function handler({ Records }) {
  for (const { eventName, dynamodb: change } of Records) {
    const { section, slug } = change.Keys;
    const Item = {
      article: { S: `${section.S}/${slug.S}` },
      // Numbers of a stream ascend; padded, so does their text.
      at: { S: change.SequenceNumber.padStart(40, "0") },
      what: { S: eventName },
      title: change.NewImage?.title ?? { S: "" },
      text: change.NewImage?.text ?? { S: "" },
    };
    await dynamodb("PutItem", { TableName: "editions", Item });
    await purge(ofSection(section.S), ofArticle(section.S, slug.S));
  }
}
