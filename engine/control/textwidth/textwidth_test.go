package textwidth

import "testing"

func TestOf(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "ä": 1, "漢字": 4, "e\u0301": 1, "ｗ": 2} {
		if got := Of(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
}

func TestCutAndPad(t *testing.T) {
	for _, tt := range []struct {
		text      string
		cut, want string
		columns   int
	}{
		{"short", "short", "short ", 6},
		{"exactly", "exactly", "exactly", 7},
		{"longer", "lon…", "longer", 4},
		{"漢字漢字", "漢字…", "漢字漢字", 6}, // a wide one would not fit beside the ellipsis
		{"", "", "  ", 2},
	} {
		if got := Cut(tt.text, tt.columns); got != tt.cut || Of(got) > tt.columns {
			t.Errorf("Cut(%q, %d) = %q", tt.text, tt.columns, got)
		}
		if got := Pad(tt.text, tt.columns); got != tt.want {
			t.Errorf("Pad(%q, %d) = %q", tt.text, tt.columns, got)
		}
	}
}
