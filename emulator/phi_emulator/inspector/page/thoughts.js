// Which tokens of an answer are thoughts, where the surface has no field of its own for them: those of a first block.

const BEGIN = "<think>";
const END = "</think>";

/** Looks at tokens in their order, and says of each what it is. */
export class Thoughts {
  constructor() {
    this.begin = "";
    this.tail = "";
    /** @type {"before" | "within" | "behind"} */
    this.place = "before";
  }

  /**
   * The kind of a token; a piece of content that is a thought is `reasoning`.
   * @param {{ kind: string, text: string | null }} token
   */
  kindOf({ kind, text }) {
    if (kind !== "content" || !text || this.place === "behind") return kind;
    if (this.place === "before") {
      this.begin += text;
      const said = this.begin.trimStart();
      if (said.startsWith(BEGIN)) this.place = "within";
      else if (!BEGIN.startsWith(said)) {
        this.place = "behind";
        return kind;
      }
    }
    this.tail = (this.tail + text).slice(-(text.length + END.length));
    if (this.tail.includes(END)) this.place = "behind";
    return "reasoning";
  }
}
