"""Words of English and German that say nothing about what a text is about; left out of the local embedding."""

from __future__ import annotations

_WORDS = """
    a about after again all also am an and any are as at be because been before being but by can cannot could did do does doing done don
    down each either else ever every few for from further get gets getting give got had has have having he hello her here hers hi him his
    how i if in into is it its itself just kindly know let like long make many may me might more most much must my myself need no nor not
    now of off on once one only or other our ours out over own please s same shall she should since so some still such t take tell than
    thank thanks that the their theirs them then there these they thing things this those through to too under until up upon us use
    very want was way we were what when where whether which while who whom whose why will with without work works would yes yet you your
    yours ll re ve isn doesn didn won wasn

    aber alle allem allen aller alles als also am an ander andere anderen anderes auch auf aus bei beim bekomme bin bis bist bitte da
    dabei dafuer damit dann das dass dazu dein deine dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du
    durch ein eine einem einen einer eines er es etwas euch euer eure fuer geht gibt guten habe haben hallo hat hatte hier hin ich ihm ihn
    ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jeden jeder jedes jetzt kann kannst kein keine keinen koennen koennte lange
    machen macht man mehr mein meine meinem meinen meiner meines mich mir mit muss muessen nach nicht nichts noch nun nur ob oder ohne
    schon sehr sein seine seit selbst sich sie sind so soll sollen sollte tag um und uns unser unsere unserem unseren unter viel viele
    vielen dank vom von vor wann war waren warum was weg weil welche welchem welchen welcher welches wenn wer werde werden wie wieder will
    wir wird wo wofuer wohin wurde wurden zu zum zur zwischen
"""

STOP_WORDS = frozenset(_WORDS.split())
