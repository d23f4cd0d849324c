package language

import (
	"bytes"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// topBlocks are the words that begin something at the top of a file.
var topWords = [...]string{"variable", "locals", "host", "group", "lab", "play", "steps", "site", "include"}

// parseFile parses a file. Where it has mistakes of syntax, each part that
// begins with a top word at the start of a line is parsed for itself, and the
// first mistake of each is told; the parser alone goes silent after the first.
func parseFile(name string, src []byte, m *mistakes) []parsed {
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if !diags.HasErrors() {
		return []parsed{{body: f.Body.(*hclsyntax.Body)}}
	}
	var out []parsed
	for _, part := range topParts(name, src) {
		f, diags := hclsyntax.ParseConfig(part.src, name, part.at)
		p := parsed{body: f.Body.(*hclsyntax.Body)}
		if diags.HasErrors() {
			p.broken, p.word = true, part.word
			syntaxMistake(diags[slices.IndexFunc(diags, isError)], m)
		}
		out = append(out, p)
	}
	return out
}

// parsed is a file, or a part of one: broken where it has a mistake of syntax,
// and then what the parser could make of it.
type parsed struct {
	body   *hclsyntax.Body
	broken bool
	word   string // the top word of a broken part
}

func isError(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagError }

func syntaxMistake(d *hcl.Diagnostic, m *mistakes) {
	at := hcl.Range{}
	if d.Subject != nil {
		at = *d.Subject
	}
	m.error(at, lowerFirst(d.Summary), detail("%s", d.Detail))
}

// topPart is a part of a file from one top word to the next.
type topPart struct {
	word string
	src  []byte
	at   hcl.Pos
}

func topParts(name string, src []byte) []topPart {
	parts := []topPart{{at: hcl.InitialPos}}
	for from := hcl.InitialPos; ; {
		words, next, found := topWordsFrom(name, src, from)
		parts = append(parts, words...)
		if !found {
			break
		}
		from = next
	}
	for i := range parts {
		end := len(src)
		if i+1 < len(parts) {
			end = parts[i+1].at.Byte
		}
		parts[i].src = src[parts[i].at.Byte:end]
	}
	return parts
}

// topWordsFrom finds the top words at the start of lines. A quotation mark that
// is not closed would hide all that follow: behind one the search is to go on
// at the next line that looks like a top word.
func topWordsFrom(name string, src []byte, from hcl.Pos) (parts []topPart, next hcl.Pos, found bool) {
	tokens, _ := hclsyntax.LexConfig(src[from.Byte:], name, from)
	for _, t := range tokens {
		word := string(t.Bytes)
		switch {
		case t.Type == hclsyntax.TokenQuotedNewline:
			next, found = nextTopLine(src, t.Range.Start)
			return parts, next, found
		case t.Type == hclsyntax.TokenIdent && t.Range.Start.Column == 1 && slices.Contains(topWords[:], word):
			parts = append(parts, topPart{word: word, at: t.Range.Start})
		}
	}
	return parts, hcl.Pos{}, false
}

func nextTopLine(src []byte, after hcl.Pos) (hcl.Pos, bool) {
	at, line := after.Byte, after.Line
	for {
		newline := bytes.IndexByte(src[at:], '\n')
		if newline < 0 {
			return hcl.Pos{}, false
		}
		at, line = at+newline+1, line+1
		word := src[at:]
		if end := bytes.IndexFunc(word, func(r rune) bool { return r < 'a' || r > 'z' }); end >= 0 {
			word = word[:end]
		}
		if slices.Contains(topWords[:], string(word)) {
			return hcl.Pos{Line: line, Column: 1, Byte: at}, true
		}
	}
}

// blockRule says what may stand in a block.
type blockRule struct {
	what   string   // "a host"
	attrs  []string // names of attributes
	blocks []string // types of blocks inside
}

// check tells of what may not stand in a body.
func (r blockRule) check(body *hclsyntax.Body, m *mistakes) {
	all := slices.Concat(r.attrs, r.blocks)
	for _, a := range sortedAttributes(body) {
		switch {
		case slices.Contains(r.attrs, a.Name):
		case slices.Contains(r.blocks, a.Name):
			m.error(a.NameRange, quoted(a.Name)+" is a block in "+r.what+", not an attribute", hint("write %s { … } without the equals sign", a.Name))
		default:
			m.error(a.NameRange, r.what+" has no attribute "+quoted(a.Name), meant(a.Name, all))
		}
	}
	for _, b := range body.Blocks {
		switch {
		case slices.Contains(r.blocks, b.Type):
		case slices.Contains(r.attrs, b.Type):
			m.error(b.TypeRange, quoted(b.Type)+" is an attribute of "+r.what+", not a block", hint("write %s = …", b.Type))
		default:
			m.error(b.TypeRange, r.what+" has no block "+quoted(b.Type), meant(b.Type, all))
		}
	}
}

// labels returns the labels of a block, or false where there are others than
// wanted. The words say what each label is.
func labels(b *hclsyntax.Block, m *mistakes, words ...string) ([]string, bool) {
	want := b.Type
	for _, w := range words {
		want += ` "` + w + `"`
	}
	if len(b.Labels) != len(words) {
		m.error(b.DefRange(), "this block is written "+want+" { … }")
		return nil, false
	}
	for i, l := range b.Labels {
		if l == "" {
			m.error(b.LabelRanges[i], "a name that is empty", hint("write %s { … }", want))
			return nil, false
		}
	}
	return b.Labels, true
}

func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return out
}

func attribute(body *hclsyntax.Body, name string) hclsyntax.Expression {
	if a, ok := body.Attributes[name]; ok {
		return a.Expr
	}
	return nil
}
