package machine

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// entry is a menuentry of grub.cfg that starts a Linux kernel.
type entry struct {
	id, title string
	path      []int    // its place in the menu, and in each submenu on the way
	parents   string   // ids of the submenus it is in, each with a > behind it
	options   []string // the words between the title and the {, as they are written, but for its id
	body      string   // what stands between { and }
	// In the body, the kernel's arguments are body[from:to]; the words before
	// are the command and the kernel's file.
	kernel   string
	from, to int
}

// menu is what weft reads from grub.cfg.
type menu struct {
	entries []entry
	// preset is what the configuration sets default to where no one-shot
	// entry is ordered: "0", "1>2", "ID", "${saved_entry}".
	preset string
	// oneShot says that the configuration takes a one-shot entry from the
	// environment block and forgets it there; custom, that it reads custom.cfg.
	oneShot, custom bool
}

// readMenu reads grub.cfg. What it does not understand it skips.
func readMenu(text string) menu {
	p := menuParser{lexer: grubLexer{text: text}, menu: menu{preset: "0"}}
	p.commands(&level{})
	return p.menu
}

// level is a menu or submenu while it is read.
type level struct {
	path    []int
	parents string
	next    int
}

type menuParser struct {
	lexer grubLexer
	menu  menu
	depth int
}

// maxDepth ends the reading of a configuration that no hand or program wrote.
const maxDepth = 32

// commands reads up to the end of the text, or to the } that closes a block.
// It returns where that } stands.
func (p *menuParser) commands(l *level) (end int) {
	var words []span
	for {
		w, kind := p.lexer.next()
		switch {
		case kind == grubEnd:
			p.command(words)
			return w.from
		case kind == grubNewline:
			p.command(words)
			words = nil
		case p.plain(w, "}"):
			p.command(words)
			return w.from
		case p.plain(w, "{"):
			p.block(words, w.to, l)
			words = nil
		default:
			words = append(words, w)
		}
	}
}

// plain says whether a word is one without quotes.
func (p *menuParser) plain(w span, text string) bool { return p.lexer.text[w.from:w.to] == text }

// block reads what stands between { and }: a menuentry, a submenu, or a
// function.
func (p *menuParser) block(words []span, from int, l *level) {
	if p.depth++; p.depth > maxDepth {
		p.lexer.at = len(p.lexer.text)
		return
	}
	defer func() { p.depth-- }()
	inner := &level{}
	kind := ""
	if len(words) > 1 {
		kind = string(words[0].argument)
	}
	switch kind {
	case "submenu":
		inner = &level{path: append(slices.Clone(l.path), l.next), parents: l.parents + identity(words) + ">"}
		l.next++
	case "menuentry":
		l.next++
	}
	end := p.commands(inner)
	if kind != "menuentry" {
		return
	}
	e := entry{
		id: identity(words), title: string(words[1].argument), path: append(slices.Clone(l.path), l.next-1),
		parents: l.parents, options: p.options(words[2:]), body: p.lexer.text[from:end],
	}
	if e.findKernel() {
		p.menu.entries = append(p.menu.entries, e)
	}
}

// options are the words of a menuentry as they are written, without its id.
func (p *menuParser) options(words []span) []string {
	var raw []string
	for i := 0; i < len(words); i++ {
		if names(words[i]) {
			i++
			continue
		}
		raw = append(raw, p.lexer.text[words[i].from:words[i].to])
	}
	return raw
}

// names says whether the word behind this one is an id.
func names(w span) bool {
	return w.argument == "--id" || w.argument == "$menuentry_id_option" || w.argument == "${menuentry_id_option}"
}

// identity is the id of a menuentry or submenu, or its title.
func identity(words []span) string {
	for i, w := range words[:len(words)-1] {
		if names(w) {
			return string(words[i+1].argument)
		}
	}
	return string(words[1].argument)
}

// command takes what a command outside of entries says of the menu.
func (p *menuParser) command(words []span) {
	if len(words) < 2 {
		return
	}
	value, isDefault := strings.CutPrefix(string(words[1].argument), "default=")
	switch verb := words[0].argument; {
	case verb == "set" && isDefault && len(p.menu.entries) == 0 && !strings.Contains(value, "next_entry"):
		p.menu.preset = value
	case verb == "save_env" && words[1].argument == "next_entry":
		p.menu.oneShot = true
	case verb == "source" && strings.HasSuffix(string(words[1].argument), "/custom.cfg"):
		p.menu.custom = true
	}
}

// findKernel finds the command that loads the kernel.
func (e *entry) findKernel() bool {
	l := grubLexer{text: e.body}
	var words []span
	for {
		w, kind := l.next()
		if kind == grubWord {
			words = append(words, w)
			continue
		}
		if len(words) > 1 && slices.Contains([]argument{"linux", "linux16", "linuxefi"}, words[0].argument) {
			e.kernel, e.from, e.to = string(words[1].argument), words[1].to, words[len(words)-1].to
			return true
		}
		if kind == grubEnd {
			return false
		}
		words = nil
	}
}

// arguments are the kernel's, as the boot loader would hand them on.
func (e entry) arguments() []span { return grubWords(e.body[e.from:e.to]) }

// recovery says whether the entry is one of those that grub-mkconfig makes for
// repairs, without what is in GRUB_CMDLINE_LINUX_DEFAULT.
func (e entry) recovery() bool {
	return strings.Contains(e.id, "-recovery-") || slices.ContainsFunc(e.arguments(), func(w span) bool {
		return w.argument == "single" || w.argument == "recovery"
	})
}

// chosen is the entry that is booted where nobody interferes. Saved is
// saved_entry of the environment block.
func (m menu) chosen(saved string) (entry, bool) {
	if len(m.entries) == 0 {
		return entry{}, false
	}
	want := m.preset
	if strings.Contains(want, "saved_entry") {
		want = cmp.Or(saved, "0")
	}
	if i := slices.IndexFunc(m.entries, func(e entry) bool { return e.named(want) }); i >= 0 {
		return m.entries[i], true
	}
	return m.entries[0], true // GRUB takes the first where it finds none of that name
}

// named says whether a name that GRUB takes for its default means the entry: a
// number, an id or a title, with those of its submenus in front.
func (e entry) named(name string) bool {
	parts := strings.Split(name, ">")
	if n, err := strconv.Atoi(parts[0]); err == nil && n == e.path[0] && len(parts) == 1 && len(e.path) > 1 {
		return true // a submenu: its first entry
	}
	numbers := make([]string, len(e.path))
	for i, n := range e.path {
		numbers[i] = strconv.Itoa(n)
	}
	return slices.Equal(parts, numbers) || name == e.parents+e.id || name == e.id || name == e.title || strings.HasSuffix(name, ">"+e.title)
}

// running is the entry to try new arguments with: that of the kernel that runs,
// whose file is image, or else the one that is booted by default.
func (m menu) running(image, saved string) (entry, bool) {
	base := func(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }
	for _, e := range m.entries {
		if base(e.kernel) == base(image) && !e.recovery() {
			return e, true
		}
	}
	return m.chosen(saved)
}
