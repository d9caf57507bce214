# One round of everyday work: imports, a search, copies of single bytes, an archive, short-lived
# processes, a walk over files, many opens of one file. Both recordings of read.py are made of it.
python3 -c 'import json, asyncio, email, http.client, unittest, xml.dom.minidom'
grep -r "no such words" /usr/include/linux /usr/include/asm-generic
dd if=/dev/zero of=/dev/null bs=1 count=100000 status=none
tar cf - /usr/include/linux | gzip -1 >/dev/null
i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done
find /usr/include /usr/share/perl -newer /etc/hostname >/dev/null
perl -e 'for (1..20000) { open(F, "<", "/etc/hosts"); my $l = <F>; close F }'
