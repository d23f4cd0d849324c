package graph

import (
	"math"
	"slices"
)

// renderSVG lays a scene out: a head, OVN's routers and switches, and the hosts
// in a grid. Tunnels run in the room below a row of hosts.
func renderSVG(s scene) string {
	l := &layout{scene: s, rows: map[string]point{}, boxes: map[string]area{}}
	l.measure()
	width := l.margin*2 + l.columns*l.cardWidth + (l.columns-1)*gap
	y := l.head(width)
	y = l.flow(s.routers, y, width)
	y = l.flow(s.switches, y, width)
	y = l.grid(y)
	l.routes()
	return l.canvas.document(width, y+padding, s.title)
}

// A layout is an SVG in the making.
type layout struct {
	scene  scene
	canvas canvas
	margin int

	columns   int // cards side by side
	cardText  int // columns of text in a card
	cardWidth int
	gutter    int // at the right of a card's boxes, for lines

	rows  map[string]point
	boxes map[string]area // of rows by their ids, for OVN's
}

// An area is a rectangle.
type area struct{ x, y, w, h int }

func (a area) bottom() int { return a.y + a.h }

// touches says whether two areas overlap.
func (a area) touches(b area) bool {
	return a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.bottom() && b.y < a.bottom()
}

// measure chooses the grid and the width of cards, which is the same for all.
func (l *layout) measure() {
	l.margin = padding
	n := len(l.scene.cards)
	least, most := 30, 60
	if l.scene.detail == Summary {
		least, most = 34, 34
		l.columns = max(1, int(math.Ceil(math.Sqrt(float64(n)))))
	} else {
		l.columns = max(1, min(n, 4))
		if n > 4 {
			l.columns = min((n+1)/2, 4)
		}
	}
	for _, c := range l.scene.cards {
		least = max(least, widest(c.boxes, least, most))
		if len(c.lines) > 0 {
			l.gutter = max(l.gutter, 16+8*min(len(c.lines), 6))
		}
	}
	l.cardText = least
	l.cardWidth = across(l.cardText) + 3*padding + l.gutter
	for _, b := range slices.Concat(l.scene.routers, l.scene.switches) {
		if l.columns == 1 && len(b.rows) > 0 { // one host alone: the boxes above it want room
			l.cardWidth = max(l.cardWidth, across(52)+3*padding)
		}
	}
}

// head draws the title, the notes, and what the meshes are.
func (l *layout) head(width int) int {
	text := (width-4*padding)*10/74 - 3
	b := block{class: "card", strokes: paragraph(l.scene.title, "b", text)}
	for _, note := range l.scene.notes {
		b.strokes = append(b.strokes, paragraph(note, "s", text)...)
	}
	dots := map[int]int{}
	for i, m := range l.scene.meshes {
		dots[len(b.strokes)] = i
		b.strokes = append(b.strokes, headed(m.name, m.text(), stroke{indent: indent}, text)...)
		for _, wrong := range m.wrong {
			b.strokes = append(b.strokes, indented(paragraph(wrong, "w", text-indent))...)
		}
	}
	if l.scene.detail == Summary {
		lines, wrong := tellTunnels(l.scene.tunnels, l.scene.cards)
		for _, t := range lines {
			b.strokes = append(b.strokes, indented(paragraph(t, "s", text-indent))...)
		}
		for _, t := range wrong {
			b.strokes = append(b.strokes, indented(paragraph(t, "w", text-indent))...)
		}
	}
	b.draw(&l.canvas, l.margin, l.margin, width-2*l.margin, l.rows)
	for at := range len(b.strokes) {
		if mesh, ok := dots[at]; ok {
			l.canvas.dot(l.margin+padding+4, l.margin+padding/2+at*lineHeight+8, meshClass(mesh))
		}
	}
	return l.margin + b.height() + gap
}

// indent is how far what belongs to a mesh stands to the right of its dot, in
// columns.
const indent = 3

func indented(strokes []stroke) []stroke {
	for i := range strokes {
		strokes[i].indent += indent
	}
	return strokes
}

func meshClass(mesh int) string {
	return []string{"m0", "m1", "m2", "m3", "m4", "m5"}[mesh%meshColours]
}

// abreast is how many ports of a logical switch stand in one column, before a
// second one begins.
const abreast = 8

// flow draws boxes from left to right, in as many lines as they take.
func (l *layout) flow(boxes []*box, y, width int) int {
	if len(boxes) == 0 {
		return y
	}
	x, lowest := l.margin, y
	for _, b := range boxes {
		room := width - 2*l.margin
		text := min(widest([]*box{b}, 20, 60), (room-2*padding)*10/74-1)
		column := across(text) + 2*padding
		columns := max(1, min((len(b.rows)+abreast-1)/abreast, room/column))
		if x > l.margin && x+columns*column > width-l.margin {
			x, y = l.margin, lowest+gap
		}
		at := area{x, y, columns * column, 0}
		at.h = l.wide(b, at, text, columns)
		for _, r := range b.rows {
			l.boxes[r.id] = at
		}
		x += at.w + gap
		lowest = max(lowest, at.bottom())
	}
	return lowest + gap + padding
}

// wide draws a box whose rows stand in several columns, and returns its height.
func (l *layout) wide(b *box, at area, text, columns int) int {
	head := blockOf(&box{kind: b.kind, name: b.name, text: b.text}, text)
	var parts []block
	tallest := 0
	each := (len(b.rows) + columns - 1) / columns
	for rows := range slices.Chunk(b.rows, max(1, each)) {
		part := blockOf(&box{rows: rows}, text)
		parts = append(parts, part)
		tallest = max(tallest, part.height())
	}
	height := head.height() + tallest
	l.canvas.rect(at.x, at.y, at.w, height, head.class)
	head.class = ""
	x, y := at.x+padding/2+1, at.y+padding/2
	head.draw(&l.canvas, x, y, at.w, l.rows)
	for i, part := range parts {
		part.draw(&l.canvas, x+i*(at.w/columns), y+head.height(), at.w, l.rows)
	}
	return height
}

// routes draws the lines between OVN's routers and switches: from a router's
// lower edge to the upper edge of the switch.
func (l *layout) routes() {
	starts, targets := map[area]int{}, map[area]int{}
	for _, line := range l.scene.lines {
		from, ok := l.boxes[line.from]
		to, also := l.boxes[line.to]
		if line.kind != routeLine || !ok || !also {
			continue
		}
		starts[from]++
		targets[to]++
		x1, y1 := from.x+min(24*starts[from], from.w-8), from.bottom()
		x2, y2 := to.x+min(24*targets[to], to.w-8), to.y
		middle := (y1 + y2) / 2
		curve(&l.canvas.ground, "route", x1, y1, x1, middle, x2, middle, x2, y2)
	}
}
