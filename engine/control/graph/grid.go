package graph

import (
	"cmp"
	"slices"

	"weft/engine/control/textwidth"
)

// grid draws the hosts, and the tunnels between them.
func (l *layout) grid(y int) int {
	n := len(l.scene.cards)
	areas := make([]area, n)
	for first := 0; first < n; first += l.columns {
		last := min(first+l.columns, n)
		height := 0
		for _, c := range l.scene.cards[first:last] {
			height = max(height, l.cardHeight(c))
		}
		for i := first; i < last; i++ {
			areas[i] = area{l.margin + (i-first)*(l.cardWidth+gap), y, l.cardWidth, height}
			l.drawCard(l.scene.cards[i], areas[i])
		}
		y += height + l.room(first, last)
	}
	if l.scene.detail == Full {
		l.tunnels(areas)
	}
	return y - gap + padding
}

// room is what is left free below a row of hosts, for the tunnels that run
// there.
func (l *layout) room(first, last int) int {
	if l.scene.detail == Summary {
		return gap
	}
	deep, down := 0, 0
	for _, t := range l.scene.tunnels {
		switch {
		case t.to < 0 || t.from < first || t.from >= last:
		case t.to < last:
			deep = max(deep, t.to-t.from)
		default:
			down++
		}
	}
	return gap + deep*tunnelDepth + min(down, 8)*lineHeight
}

// tunnelDepth is by how much deeper a tunnel hangs for each host that it spans.
const tunnelDepth = 30

// cardBlocks are the parts of a card, from top to bottom.
func (l *layout) cardBlocks(c *card) []block {
	head := block{strokes: headed(c.name, "", stroke{}, l.cardText)}
	for _, t := range c.text {
		head.strokes = append(head.strokes, paragraph(t, "s", l.cardText)...)
	}
	for _, t := range c.wrong {
		head.strokes = append(head.strokes, paragraph(t, "w", l.cardText)...)
	}
	blocks := []block{head}
	for _, b := range c.boxes {
		blocks = append(blocks, blockOf(b, l.cardText))
	}
	return blocks
}

func (l *layout) cardHeight(c *card) int {
	h := 2 * padding
	for i, b := range l.cardBlocks(c) {
		if i > 0 {
			h += padding
		}
		h += b.height()
	}
	return h
}

func (l *layout) drawCard(c *card, a area) {
	class := "card"
	if c.lost {
		class = "lost"
	}
	l.canvas.rect(a.x, a.y, a.w, a.h, class)
	for i, mesh := range c.meshes {
		l.canvas.dot(a.x+a.w-padding-4-14*i, a.y+padding+6, meshClass(mesh))
	}
	y := a.y + padding
	inner := across(l.cardText) + padding
	for _, b := range l.cardBlocks(c) {
		b.draw(&l.canvas, a.x+padding, y, inner, l.rows)
		y += b.height() + padding
	}
	l.join(c, a.x+padding+inner)
}

// join draws the lines within a host, at the right of its boxes: the short ones
// close to them.
func (l *layout) join(c *card, x int) {
	span := func(n line) int { return max(l.rows[n.from].y-l.rows[n.to].y, l.rows[n.to].y-l.rows[n.from].y) }
	lines := slices.Clone(c.lines)
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(span(a), span(b)) })
	for i, n := range lines {
		out := x + 12 + 10*min(i, 6)
		y1, y2 := l.rows[n.from].y, l.rows[n.to].y
		curve(&l.canvas.over, string(n.kind), x, y1, out, y1, out, y2, x, y2)
		l.canvas.dotted(x, y1, string(n.kind))
		l.canvas.dotted(x, y2, string(n.kind))
	}
}

// tunnels draws those between hosts: within a row as arcs below it, else from
// the lower edge of one to the upper edge of the other.
func (l *layout) tunnels(areas []area) {
	anchors := l.anchors(areas)
	var labels []area
	for i, t := range l.scene.tunnels {
		if t.to < 0 {
			continue
		}
		from, to := areas[t.from], areas[t.to]
		x1, x2 := anchors[i][0], anchors[i][1]
		class, pill, text := "tunnel", "pill", t.name()
		if t.wrong != "" {
			class, pill, text = "wrong", "pillwrong", t.wrong
		}
		y1, y2 := from.bottom(), from.bottom()
		down1, down2 := y1+(t.to-t.from)*tunnelDepth*4/3-4, y1+(t.to-t.from)*tunnelDepth*4/3-4
		at := point{(x1 + x2) / 2, y1 + (t.to-t.from)*tunnelDepth - 3}
		if from.y != to.y {
			y2 = to.y
			down1, down2 = (y1+y2)/2, (y1+y2)/2
			at = point{(x1 + x2) / 2, (y1 + y2) / 2}
		}
		curve(&l.canvas.ground, class, x1, y1, x1, down1, x2, down2, x2, y2)
		labels = append(labels, l.label(at, labels, pill, text))
	}
}

// label writes a text at a place, or below it where another is in its way.
func (l *layout) label(at point, others []area, class, text string) area {
	text = textwidth.Cut(shown(text), 40)
	w := across(textwidth.Of(text)) + 12
	a := area{at.x - w/2, at.y - 9, w, 18}
	for slices.ContainsFunc(others, a.touches) {
		a.y++
	}
	l.canvas.pill(a, class, text)
	return a
}

// anchors spreads the ends of tunnels over the edges of the hosts, so that few
// of them cross.
func (l *layout) anchors(areas []area) [][2]int {
	type end struct{ tunnel, side, other int }
	ends := make([][]end, len(areas))
	for i, t := range l.scene.tunnels {
		if t.to >= 0 {
			ends[t.from] = append(ends[t.from], end{i, 0, t.to})
			ends[t.to] = append(ends[t.to], end{i, 1, t.from})
		}
	}
	out := make([][2]int, len(l.scene.tunnels))
	for at, list := range ends {
		a := areas[at]
		slices.SortStableFunc(list, func(x, y end) int { return cmp.Compare(areas[x.other].x, areas[y.other].x) })
		for i, e := range list {
			out[e.tunnel][e.side] = a.x + a.w*(i+1)/(len(list)+1)
		}
	}
	return out
}
