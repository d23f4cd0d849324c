package graph

import (
	"weft/engine/control/textwidth"
)

// A stroke is a line of text with what stands before it.
type stroke struct {
	indent int    // columns
	mark   string // class of the square before it; empty for none
	bold   string // written first
	text   string
	class  string
	row    string // id of the row that begins here
}

// A block is a box or a head of a card, measured in lines.
type block struct {
	class   string // of its frame; empty for none
	strokes []stroke
}

func (b block) height() int {
	h := len(b.strokes) * lineHeight
	if b.class != "" {
		h += padding
	}
	return h
}

// paragraph is a text in as many lines as it takes.
func paragraph(text, class string, width int) []stroke {
	var out []stroke
	for _, l := range wrap(text, width) {
		out = append(out, stroke{text: l, class: class})
	}
	return out
}

// headed is a name with a text after it, or below where both do not fit.
func headed(name, text string, first stroke, width int) []stroke {
	room := width - first.indent
	if first.mark != "" {
		room -= 2
	}
	first.bold = textwidth.Cut(shown(name), room)
	used := textwidth.Of(first.bold)
	if text == "" {
		return []stroke{first}
	}
	if flat := shown(text); used+1+textwidth.Of(flat) <= room {
		first.text = flat
		return []stroke{first}
	}
	out := []stroke{first}
	indent := first.indent
	if first.mark != "" {
		indent += 2
	}
	for _, l := range wrap(text, width-indent) {
		out = append(out, stroke{indent: indent, text: l, class: "s"})
	}
	return out
}

// blockOf lays out a box in so many columns.
func blockOf(b *box, width int) block {
	out := block{class: string(b.kind)}
	if b.name != "" || b.text != "" {
		out.strokes = headed(b.name, b.text, stroke{class: "s"}, width)
	}
	out.strokes = append(out.strokes, paragraph(b.wrong, "w", width)...)
	for _, r := range b.rows {
		first := stroke{mark: string(r.kind), class: "s", row: r.id}
		if r.member {
			first.indent = 2
		}
		out.strokes = append(out.strokes, headed(r.name, r.text, first, width)...)
		for _, l := range wrap(r.wrong, width-first.indent-2) {
			out.strokes = append(out.strokes, stroke{indent: first.indent + 2, text: l, class: "w"})
		}
	}
	return out
}

// widest is the most columns that boxes want, within bounds.
func widest(boxes []*box, least, most int) int {
	width := least
	for _, b := range boxes {
		width = max(width, textwidth.Of(shown(b.name))+1+textwidth.Of(shown(b.text)))
		for _, r := range b.rows {
			w := 3 + textwidth.Of(shown(r.name)) + textwidth.Of(shown(r.text))
			if r.member {
				w += 2
			}
			width = max(width, w)
		}
	}
	return min(width, most)
}

// draw draws a block, and notes where its rows are: the middle of their first
// lines.
func (b block) draw(c *canvas, x, y, width int, rows map[string]point) {
	if b.class != "" {
		c.rect(x, y, width, b.height(), b.class)
		x, y = x+padding/2+1, y+padding/2
	}
	for i, s := range b.strokes {
		top := y + i*lineHeight
		at := x + across(s.indent)
		if s.row != "" {
			rows[s.row] = point{x, top + lineHeight/2}
		}
		if s.mark != "" {
			c.mark(at, top+5, s.mark)
			at += across(2)
		}
		if s.bold != "" {
			c.text(at, top+12, "b", s.bold)
			at += across(textwidth.Of(s.bold) + 1)
		}
		if s.text != "" {
			c.text(at, top+12, s.class, s.text)
		}
	}
}

// A point is a place on a canvas.
type point struct{ x, y int }
