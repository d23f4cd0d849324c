# Built on one host, taken by the next: the result travels through weft, and nothing is
# compiled twice.

variable "sha256" {
  description = "Of the tarball."
  type        = string
}

play "build" {
  hosts = role.builder

  step "source_build" "tiny" {
    version  = "1"
    source   = "/root/tiny.tar"
    sha256   = var.sha256
    by       = "make"
    programs = ["bin/tiny"]
  }
}

play "take" {
  hosts = role.taker

  step "directory" "results" {
    path = "/var/cache/results"
  }

  step "file_copy" "result" {
    path   = "/var/cache/results/tiny.tar"
    host   = "builder1"
    source = hosts["builder1"].step.source_build.tiny.archive
    sha256 = hosts["builder1"].step.source_build.tiny.sha256
  }

  step "source_build" "tiny" {
    version  = "1"
    source   = "/root/tiny.tar" # is not there
    sha256   = var.sha256
    by       = "make"
    programs = ["bin/tiny"]
    archive  = "/var/cache/results/tiny.tar"
  }
}
